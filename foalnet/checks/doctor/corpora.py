"""Checks each corpus of params.yaml: its root, its layout, and the weights that it needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from foalnet.checks.doctor.base import Context, Finding, from_error, ok, warning
from foalnet.config import Params
from foalnet.core.errors import FoalnetError
from foalnet.core.paths import Paths
from foalnet.corpora.inventory import resolve_root


def corpora(context: Context) -> Iterator[Finding]:
    """Check that the root of each corpus exists and has the layout that its reader expects."""
    for params in context.corpora:
        try:
            yield _root(context, params)
        except FoalnetError as error:
            yield from_error(error)


def _root(context: Context, params: Params) -> Finding:
    name = params.corpus
    root = resolve_root(params, context.settings)
    if root is not None:
        return ok(f"{name}: {root} has the layout of {params.reader}")
    given = context.settings.roots.get(name)
    if given is None and params.drawn_here:
        return ok("drawn: not drawn yet, the first `dvc repro` does it")
    where = f"its root {given} is not a folder here" if given else "the settings name no root for it"
    mend = f"mount it, or: foalnet add-corpus {params.reader} --name {name} --root PATH"
    if Paths(name, context.home).inventory.is_file():
        return warning(f"{name}: {where}; its recorded results stay usable, but it cannot be staged again", mend=mend)
    return Finding(level="fault", message=f"{name}: {where}, and it has no recorded inventory", mend=mend)


def roots(context: Context) -> Iterator[Finding]:
    """Check that every root in the settings is a folder."""
    for name, given in sorted(context.settings.roots.items()):
        folder = Path(given).expanduser()
        if not folder.is_absolute():
            yield warning(
                f"the root of {name}, {given}, is not absolute", mend=f"write {folder.resolve()} in settings.yaml"
            )
        elif not folder.is_dir():
            yield warning(
                f"the root of {name}, {given}, is not a folder here", mend="mount it, or correct settings.yaml"
            )
    if not context.settings.roots:
        yield ok("the settings name no corpus root; the drawn corpus needs none")


def weights(context: Context) -> Iterator[Finding]:
    """Check that the weight files of each corpus' detector exist and are the published ones."""
    from foalnet.faces import get_detector

    for params in context.corpora:
        try:
            digest = get_detector(params.shards, context.settings).digest()
        except FoalnetError as error:
            yield from_error(error)
        else:
            yield ok(f"{params.corpus}: detector {params.shards.detector} ({digest[:12]}…)")


def encoders(context: Context) -> Iterator[Finding]:
    """Check that each corpus' pretrained encoders are complete, and that the library to run them is installed."""
    from foalnet.encoders import CATALOGUE, library_version, open_weights

    wanted = [
        (params.corpus, name, own)
        for params in context.corpora
        for name, own in (
            (params.train.audio.encoder, params.train.audio.weights),
            (params.features.encoder, params.features.weights),
        )
        if name in CATALOGUE
    ]
    for corpus, name, own in wanted:
        try:
            library_version()
            opened = open_weights(name, context.settings, own=own)
        except FoalnetError as error:
            yield from_error(error)
        else:
            yield ok(f"{corpus}: encoder {name} ({opened.sha256[:12]}…)")
    if not wanted:
        yield ok("no corpus uses a pretrained encoder")
