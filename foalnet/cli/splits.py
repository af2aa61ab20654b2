"""The verb `splits`: prints the folds of a corpus, and how its counts compare with those of a named split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import get_args

import click

from foalnet.cli.stages import CORPUS
from foalnet.config import Params, load_params
from foalnet.config.blocks import FoldBy
from foalnet.core.paths import Paths
from foalnet.core.records import Utterance
from foalnet.corpora.splits import Fold

# Part of a fold -> its utterances.
Parts = dict[str, list[Utterance]]


@click.command(short_help="print the folds of a corpus, their speakers and classes")
@CORPUS
@click.option(
    "--fold-by",
    type=click.Choice(get_args(FoldBy)),
    metavar="HOW",
    help="session, speaker or a named split [default: train.fold_by of the corpus].",
)
def splits(corpus: str, fold_by: str | None) -> None:
    """Print the folds of a corpus: utterances by class, speakers and dialogues of each part.

    It reads the manifest, not the media. It says which speakers are trained on and tested, which counts differ from
    those of a named split (docs/protocols.md), and which splits are known for the corpus' reader.
    """
    from foalnet.artifact.table import read_manifest

    params = load_params(corpus)
    used = [u for u in read_manifest(Paths(corpus).manifest, corpus=corpus) if u.used]
    for line in _lines(params, used, fold_by or params.train.fold_by):
        click.echo(line)


def _lines(params: Params, used: Sequence[Utterance], fold_by: str) -> Iterator[str]:
    from foalnet.corpora.named import NAMED, differences, flow, folds_of, named_split
    from foalnet.evidence.report.phrases import plural
    from foalnet.evidence.report.terminal import aligned

    named = named_split(params, fold_by)
    groups, folds = folds_of(params, used, "dev", fold_by=fold_by)
    parts = {fold.name: _parts(fold, groups, used) for fold in folds}
    yield f"{params.corpus}: {plural(len(used), 'utterance')} with a class, {plural(len(folds), 'fold')} by {fold_by}"
    if named is not None:
        yield f"{named.name}: {named.source}; digest {named.digest[:16]}"
    yield ""
    yield from aligned(_table(parts, list(params.manifest.classes)))
    yield ""
    yield from (_shared(parts.values(), part) for part in ("test", "dev"))
    if named is not None:
        wrong = differences(named, params, used)
        yield f"counts: {len(wrong)} differ from those of {named.name}:" if wrong else f"counts: those of {named.name}"
        yield from (f"  {line}" for line in wrong)
    known = [split for split in NAMED.values() if split.reader == params.reader]
    if known:
        yield f"named splits of the reader {params.reader} (train.fold_by), and their classes:"
        yield from (f"  {split.name}: {flow(split.classes)}" for split in known)


def _parts(fold: Fold, groups: Mapping[str, str], used: Sequence[Utterance]) -> Parts:
    parts: Parts = {"train": [], "dev": [], "test": []}
    for utterance in used:
        parts[fold.part_of(groups[utterance.key])].append(utterance)
    return parts


def _table(folds: Mapping[str, Parts], classes: list[str]) -> list[list[str]]:
    """Return head and a row per fold and part."""
    rows = [["fold and part" if len(folds) > 1 else "part", "utterances", *classes, "speakers", "dialogues"]]
    for fold, parts in folds.items():
        for part, its in parts.items():
            per_class = Counter(u.label for u in its)
            counts = [len(its), *(per_class[name] for name in classes)]
            counts += [len({u.speaker for u in its}), len({(u.session, u.dialogue) for u in its})]
            rows.append([f"{fold} {part}" if len(folds) > 1 else part, *(f"{count:,}" for count in counts)])
    return rows


def _shared(folds: Iterable[Parts], part: str) -> str:
    """Return which speakers of a part are in the training part of the same fold too."""
    from foalnet.stages.link import first_few

    every, shared = set[str](), set[str]()
    for parts in folds:
        its = {u.speaker for u in parts[part]}
        every |= its
        shared |= its & {u.speaker for u in parts["train"]}
    said = f"{len(shared)} of {len(every)} train too: {first_few(sorted(shared))}" if shared else "none trains too"
    return f"{part} speakers: {said}"
