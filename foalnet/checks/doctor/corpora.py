"""Each corpus of the params: its root, its layout, and the weights of the detector that it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from foalnet.checks.doctor.base import Context, Finding, from_error, ok, warning
from foalnet.config import Params
from foalnet.core.errors import FoalnetError
from foalnet.core.paths import Paths
from foalnet.corpora.inventory import resolve_root


def corpora(context: Context) -> Iterator[Finding]:
    """The root of each corpus is here and laid out as its reader expects; each root belongs to a corpus."""
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
    if given is None and name == "drawn":
        return ok("drawn: not drawn yet, the first `dvc repro` does it")
    where = f"its root {given} is not a folder here" if given else "the settings name no root for it"
    mend = f"mount it, or: foalnet add-corpus {params.reader} --name {name} --root PATH"
    if Paths(name, context.home).inventory.is_file():
        return warning(f"{name}: {where}; what is recorded of it is kept, staging anew is not possible", mend=mend)
    return Finding(level="fault", message=f"{name}: {where}, and nothing of it is recorded", mend=mend)


def roots(context: Context) -> Iterator[Finding]:
    """Every root in the settings is a folder."""
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
    """The detector that each corpus asks for is complete: its weight files are here and the published ones."""
    from foalnet.faces import get_detector

    for params in context.corpora:
        try:
            digest = get_detector(params.shards, context.settings).digest()
        except FoalnetError as error:
            yield from_error(error)
        else:
            yield ok(f"{params.corpus}: detector {params.shards.detector} ({digest[:12]}…)")


def encoders(context: Context) -> Iterator[Finding]:
    """The pretrained encoders that each corpus asks for are here, whole, and there is a library to run them."""
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
        yield ok("no corpus asks for a pretrained encoder")
