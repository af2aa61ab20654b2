"""Scores and report made once more, by the project's own code, from what lies here: in a folder apart, and compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foalnet.artifact.results import METRICS, PREDICTIONS, TRAIN
from foalnet.artifact.table import digest_file, read_manifest
from foalnet.checks.verify.content import Scene
from foalnet.checks.verify.link import two
from foalnet.config.blocks import PROTOCOLS, SPLIT_OF, Split
from foalnet.core.errors import FoalnetError
from foalnet.core.paths import HEADLINE, Paths
from foalnet.core.records import Utterance
from foalnet.corpora import get_reader
from foalnet.corpora.inventory import resolve_root

SHOWN = 3
# Letters of a page that are shown before the first one that differs, and from it on.
BEFORE, BEHIND = 24, 48


def scores_anew(scene: Scene, *, variant: str, seed: int, split: Split) -> Paths:
    """Score a run from its logits and the manifest; return where its files lie (Absent, DataError)."""
    from foalnet.stages.evaluate import evaluate_run

    own = scene.paths.model(variant, seed, split)
    folder = scene.bench / "scores" / own.name
    paths = Paths(scene.params.corpus, folder)
    asked = [paths.run(variant, seed, protocol) / METRICS for protocol in PROTOCOLS if SPLIT_OF[protocol] == split]
    if not all(file.exists() for file in asked):
        inputs = [own / name for name in (TRAIN, "logits.json", "logits.safetensors")]
        _lay(scene, folder, [*inputs, scene.paths.manifest, digest_file(scene.paths.manifest)])
        with apart(folder):
            evaluate_run(scene.params, paths, variant=variant, seed=seed, split=split)
    return paths


def manifest_rows(scene: Scene) -> list[Utterance]:
    """Return the utterances of the manifest, read as the stages read it: by its digest (Absent, DataError)."""
    folder, path = scene.bench / "manifest", scene.paths.manifest
    _lay(scene, folder, [path, digest_file(path)])
    with apart(folder):
        return read_manifest(folder / path.relative_to(scene.paths.home), corpus=scene.params.corpus)


def manifest_anew(scene: Scene) -> Paths | None:
    """Read the corpus' labels once more; return where manifest and counts lie (Absent, DataError).

    None where the corpus' files are not on this machine; those that a stage draws, cache and remote have too.
    """
    from foalnet.stages.manifest import build

    params, folder = scene.params, scene.bench / "labels"
    paths = Paths(params.corpus, folder)
    root = folder / params.source if scene.drawn else resolve_root(params, scene.settings)
    if root is None:
        return None
    if scene.drawn:
        reads = get_reader(params.reader).reads
        listed = scene.store.json(scene.paths.inventory.relative_to(scene.paths.home).as_posix())["files"]
        _lay(scene, folder, [scene.paths.home / params.source / one["path"] for one in listed if one["role"] in reads])
    _lay(scene, folder, [scene.paths.inventory])
    settings = scene.settings.model_copy(
        update={"work": folder / "work", "roots": {params.corpus: str(root.resolve())}}
    )
    with apart(folder):
        build(params, settings, paths.inventory, paths.manifest, paths.counts)
    return paths


def report_anew(scene: Scene) -> Paths:
    """Build the report from the runs, the manifest and the accounts; return where its files lie (Absent, DataError)."""
    from foalnet.drawn.plan import kinds_of
    from foalnet.drawn.rule import best_by_kind, best_scores
    from foalnet.evidence.report import build
    from foalnet.evidence.report.late import Kinds

    params, folder = scene.params, scene.bench / "report"
    paths = Paths(params.corpus, folder)
    if not paths.metrics.exists():
        _lay(scene, folder, _read_by_report(scene))
        drawn = params.corpus == "drawn"
        with apart(folder):
            build(
                params,
                paths,
                best_possible=best_scores(params.draw) if drawn else None,
                kinds=Kinds(of=kinds_of(params.draw), best=best_by_kind()) if drawn else None,
            )
    return paths


def _read_by_report(scene: Scene) -> Iterator[Path]:
    """Yield what the report reads of what there is: a file of no record that is not here is a gap on its page too."""
    params, paths = scene.params, scene.paths
    found = [paths.inventory, paths.counts, paths.staging, paths.manifest, digest_file(paths.manifest)]
    for protocol in (name for name in PROTOCOLS if name == HEADLINE or name in params.protocols):
        for variant in params.variants:
            folders = (paths.run(variant, seed, protocol) for seed in params.seeds)
            found += [folder / name for folder in folders for name in (METRICS, PREDICTIONS)]
    yield from (path for path in found if scene.store.has(path.relative_to(paths.home).as_posix()))


def _lay(scene: Scene, folder: Path, paths: Iterator[Path] | list[Path]) -> None:
    for path in paths:
        scene.store.lay(path.relative_to(scene.paths.home).as_posix(), folder)


@contextmanager
def apart(folder: Path) -> Iterator[None]:
    """Name in an error the project's files, not their likenesses in the folder apart."""
    try:
        yield
    except FoalnetError as error:
        what, file = (str(text or "").replace(f"{folder}/", "") for text in (error.what, error.file))
        at = {"file": file or None, "utterance": error.utterance, "stage": error.stage}
        raise type(error)(what, **at, action=error.action) from error


def unlike(expected: Any, found: Any, at: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted name, expected, found) of the single values in which two JSON values differ."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        for name in sorted({*expected, *found}):
            yield from unlike(expected.get(name), found.get(name), f"{at}.{name}".strip("."))
    elif _rows(expected) and _rows(found) and len(expected) == len(found):
        for number, (one, other) in enumerate(zip(expected, found, strict=True)):
            yield from unlike(one, other, f"{at}.{number}".strip("."))
    elif expected != found:
        yield at, expected, found


def _rows(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def told(differing: Sequence[tuple[str, Any, Any]], *, by: str, at: str) -> str:
    """Say in which values two objects differ, the first few in full."""
    shown = [f"{name}: {two(one, other, by=by, at=at)}" for name, one, other in differing[:SHOWN]]
    more = f"; and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
    return "; ".join(shown) + more


def first_unlike(expected: str, found: str, *, at: str) -> str:
    """Say where two texts part, with the words around it."""
    same = (number for number, (one, other) in enumerate(zip(expected, found, strict=False)) if one != other)
    start = next(same, min(len(expected), len(found)))
    shown = [" ".join(text[max(0, start - BEFORE) : start + BEHIND].split()) for text in (expected, found)]
    line = expected.count("\n", 0, start) + 1
    return f"line {line}: expected “{shown[0]}” (made anew), found “{shown[1]}” ({at})"
