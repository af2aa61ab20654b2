"""Reads and checks everything that the report shows; an absent optional file becomes a sentence in `gaps`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from foalnet.artifact.results import METRICS, PREDICTIONS, read_results
from foalnet.artifact.seal import read_sealed
from foalnet.artifact.table import read_manifest
from foalnet.config import Params
from foalnet.config.blocks import PROTOCOLS
from foalnet.core.errors import DataError
from foalnet.core.paths import HEADLINE, Paths

# Keys that an error names.
LOST_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Run:
    """Output of `evaluate` for one variant and seed under one protocol; `rows` is key -> prediction."""

    variant: str
    seed: int
    metrics: Mapping[str, Any]
    rows: Mapping[str, Mapping[str, Any]]

    @property
    def keys(self) -> list[str]:
        """Sorted utterance keys."""
        return sorted(self.rows)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All inputs of the report. `runs` holds the headline protocol's runs, in the order of params' variants.

    `other_protocols` holds, by protocol, the runs of the other protocols in params; `gaps` are sentences.
    """

    params: Params
    runs: Mapping[str, tuple[Run, ...]]
    manifest: tuple[Mapping[str, Any], ...]
    counts: Mapping[str, Any] | None
    staging: Mapping[str, Any] | None
    inventory: Mapping[str, Any] | None
    gaps: tuple[str, ...]
    other_protocols: Mapping[str, Mapping[str, tuple[Run, ...]]] = field(default_factory=dict)

    @property
    def known(self) -> Mapping[str, Any]:
        """What the corpus states of itself (foalnet.corpora.base.CorpusFacts); empty for most corpora."""
        return (self.inventory or {}).get("facts", {})

    @property
    def drawn(self) -> bool:
        """Tell whether a program drew the corpus: it shows no real person."""
        return bool(self.known.get("drawn"))

    @property
    def best_possible(self) -> Mapping[str, float] | None:
        """The best expected UA (0 to 1) by input (`sound`, `picture`, `both`, `late_average`), where it is known."""
        return self.known.get("best_scores")

    @property
    def first(self) -> Run:
        """The first run; classes, protocol and clusters are the same in all runs."""
        return next(iter(self.runs.values()))[0]

    @property
    def classes(self) -> list[str]:
        """Class names in order."""
        return list(self.first.metrics["classes"])

    @property
    def folds(self) -> list[str]:
        """Sorted fold names."""
        return sorted(self.first.metrics["folds"])

    @property
    def used(self) -> list[Mapping[str, Any]]:
        """The utterances that have a class."""
        return [row for row in self.manifest if row["label"] is not None]


def gather(params: Params, paths: Paths) -> Facts:
    """Read the stages' outputs for the report (DataError, exit 3, where there is no run or runs do not agree)."""
    gaps: list[str] = []
    runs = _runs(params, paths, HEADLINE, gaps)
    if not runs:
        raise DataError("no run has been evaluated", file=paths.reports / "runs", action="run `dvc repro`")
    every = [run for group in runs.values() for run in group]
    _check_agreement(every, paths, HEADLINE, every[0])
    others: list[str] = [name for name in PROTOCOLS if name in params.protocols and name != HEADLINE]
    other_protocols = {name: by_variant for name in others if (by_variant := _runs(params, paths, name, gaps))}
    for name, by_variant in other_protocols.items():
        _check_agreement([run for group in by_variant.values() for run in group], paths, name, every[0])
    common = set.intersection(*(set(run.rows) for run in every))
    if not common:
        raise DataError(
            "the runs have no utterance in common",
            file=paths.reports / "runs",
            action="remove the models' folder and run `dvc repro`",
        )
    if any(len(run.rows) != len(common) for run in every):
        gaps.append(
            f"The runs did not predict the same utterances: {len(common)} are common to all. Each variant is scored on "
            "the utterances that all its seeds predicted, each comparison on those that both variants predicted."
        )
    optional = {
        "inventory": (paths.inventory, "inventory", "which files were used, and their digests"),
        "counts": (paths.counts, "manifest", "whether the corpus is complete, and what was dropped"),
        "staging": (
            paths.staging,
            "shards",
            "how many faces were detected, what was repaired in sound and picture",
        ),
    }
    read = {name: _optional(path, by, what, paths, gaps) for name, (path, by, what) in optional.items()}
    manifest: list[Any] = []
    if paths.manifest.is_file():
        manifest = [asdict(u) for u in read_manifest(paths.manifest, corpus=paths.corpus)]
    else:
        gaps.append(f"{_name(paths.manifest, paths)} is absent: hours and unused utterances cannot be shown.")
    _check_losses(manifest, read["staging"], every, paths)
    return Facts(
        params=params,
        runs=runs,
        manifest=tuple(manifest),
        gaps=tuple(gaps),
        other_protocols=other_protocols,
        **read,
    )


def _check_losses(
    manifest: Sequence[Mapping[str, Any]], staging: Mapping[str, Any] | None, runs: Sequence[Run], paths: Paths
) -> None:
    """Raise DataError (exit 3) for a run that lacks usable utterances which staging did not drop with a reason."""
    if not manifest or staging is None:
        return
    entries = staging.get("ledger", {}).get("entries", [])
    dropped = {one["item"] for one in entries if one["kind"] == "dropped"}
    wanted = {row["key"] for row in manifest if row["label"] is not None} - dropped
    for run in runs:
        if lost := sorted(wanted - set(run.rows)):
            more = f" and {len(lost) - LOST_SHOWN} more" if len(lost) > LOST_SHOWN else ""
            raise DataError(
                f"{len(lost)} of {len(wanted)} utterances were not scored, and staging.json gives no reason: "
                f"{', '.join(lost[:LOST_SHOWN])}{more}",
                file=paths.run(run.variant, run.seed, run.metrics["protocol"]) / PREDICTIONS,
                action=f"`foalnet verify {paths.corpus}` shows where they were lost; `dvc repro shards@{paths.corpus}` "
                "stages them again",
            )


def _runs(params: Params, paths: Paths, protocol: str, gaps: list[str]) -> dict[str, tuple[Run, ...]]:
    """Return the runs of a protocol by variant, in the order of params."""
    runs: dict[str, tuple[Run, ...]] = {}
    for variant in params.variants:
        trained = [run for seed in params.seeds if (run := _run(paths, variant, seed, protocol, gaps))]
        if trained:
            runs[variant] = tuple(trained)
    return runs


def _run(paths: Paths, variant: str, seed: int, protocol: str, gaps: list[str]) -> Run | None:
    results = read_results(paths, paths.run(variant, seed, protocol))
    if results is None:
        under = "" if protocol == HEADLINE else f" under {protocol}"
        where = "every table" if protocol == HEADLINE else "the tables of that protocol"
        gaps.append(f"Variant {variant}, seed {seed} has not been evaluated{under}: it is missing from {where}.")
        return None
    return Run(variant=variant, seed=seed, metrics=results.metrics, rows=results.rows)


def _optional(path: Path, by: str, what: str, paths: Paths, gaps: list[str]) -> Any:
    if path.is_file():
        return read_sealed(path, again=f"{by}@{paths.corpus}", corpus=paths.corpus)
    gaps.append(f"{_name(path, paths)} is absent, so the report cannot show {what}.")
    return None


def _name(path: Path, paths: Paths) -> str:
    return path.relative_to(paths.home).as_posix()


def _check_agreement(runs: list[Run], paths: Paths, protocol: str, first: Run) -> None:
    """Raise DataError for runs that cannot be compared: other classes, clusters, or another label for an utterance."""
    for run in runs:
        file = paths.run(run.variant, run.seed, protocol)
        expected = {"classes": first.metrics["classes"], "cluster": first.metrics["cluster"]}
        for what, value in expected.items():
            if run.metrics[what] != value:
                raise DataError(
                    f"{what} is {run.metrics[what]} here; {value} is expected, as in {first.variant}-s{first.seed}",
                    file=file / METRICS,
                    action="run `dvc repro`: a run is older than params.yaml",
                )
        for key in run.rows.keys() & first.rows.keys():
            if run.rows[key]["label"] != first.rows[key]["label"]:
                raise DataError(
                    f"the label is {run.rows[key]['label']} here and {first.rows[key]['label']} in another run",
                    file=file / PREDICTIONS,
                    utterance=key,
                    action="run `dvc repro`: a run is older than the manifest",
                )
