"""Reads what the report shows into one typed record; an absent optional file becomes a sentence in `gaps`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from foalnet.artifact.results import METRICS as RUN_METRICS
from foalnet.artifact.results import PREDICTIONS, read_results
from foalnet.artifact.seal import read_sealed, refused
from foalnet.artifact.table import read_manifest
from foalnet.config import Params
from foalnet.config.blocks import PROTOCOLS
from foalnet.core.errors import DataError
from foalnet.core.files import content_key
from foalnet.core.paths import HEADLINE, Paths, run_name
from foalnet.core.records import Prediction, Utterance
from foalnet.evidence.crossed import unit_of
from foalnet.evidence.metrics import METRICS
from foalnet.evidence.report.accounts import Counts, Inventory, Staging

# Keys that an error names.
LOST_SHOWN = 5
Record = TypeVar("Record")


@dataclass(frozen=True, kw_only=True)
class Bin:
    """One bin of the calibration; no accuracy and no confidence without an utterance."""

    low: float
    high: float
    n: int
    accuracy: float | None
    confidence: float | None


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The expected calibration error and its bins."""

    ece: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores of one set of predictions: `metrics` by key of METRICS; recall and support by class; the confusion."""

    n: int
    metrics: dict[str, float]
    recall: dict[str, float | None]
    support: dict[str, int]
    absent: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    calibration: Calibration


@dataclass(frozen=True, kw_only=True)
class Worth:
    """What probabilities are worth: likelihood in nats, Brier score, area under the ROC curve, calibration error."""

    nll: float
    brier: float
    auc: float | None
    ece: float


@dataclass(frozen=True, kw_only=True)
class Probabilities(Worth):
    """The worth of a run's probabilities.

    `calibrated`: mean and 95 % quantile of the ECE that a calibrated model shows. `scaled`: their worth after scaling
    by the temperature of the dev part; None without one.
    """

    calibrated: dict[str, float]
    scaled: Worth | None = None
    temperature: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Fold(Scores):
    """Scores of one fold, the epoch that was scored and that of its stored weights; dev UA and losses by epoch."""

    epoch: int
    epochs_run: int
    checkpoint_epoch: int | None
    dev_ua_by_epoch: tuple[float, ...] = ()
    losses: dict[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NamedSplit:
    """What a run's record says of the named split of its folds (foalnet.corpora.named.record_of)."""

    name: str
    digest: str
    source: str
    rule: str
    test_speakers: int
    test_speakers_in_training: int
    test_utterances_in_training: int
    counts_differ: tuple[str, ...]

    @property
    def fixed(self) -> bool:
        """Whether the only fold has a fixed test part: the other utterances are not tested."""
        return self.rule == "fixed"


@dataclass(frozen=True, kw_only=True)
class Training:
    """What training recorded of itself: digests, machine, counts, versions, and the runs that trained its encoders."""

    code: str | None = None
    params: str | None = None
    determinism: str | None = None
    device: str | None = None
    threads: int | None = None
    processor: str | None = None
    instructions: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    encoders: dict[str, Any] = field(default_factory=dict)
    named_split: NamedSplit | None = None


@dataclass(frozen=True, kw_only=True)
class OwnTasks:
    """Scores of a method's own tasks (foalnet.evidence.own_tasks): retrieval by direction, and matching."""

    retrieval: dict[str, dict[str, float | None]] = field(default_factory=dict)
    matching: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What the metrics.json of a run states."""

    classes: tuple[str, ...]
    cluster: str
    protocol: str
    select: str
    pooled: Scores
    folds: dict[str, Fold]
    train: Training
    probabilities: Probabilities
    unpredicted: tuple[str, ...] = ()
    own_tasks: OwnTasks = OwnTasks()

    @property
    def split(self) -> str:
        """Name and digest of the named split; "" for folds by session or speaker."""
        named = self.train.named_split
        return f"{named.name} {named.digest}" if named else ""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Output of `evaluate` for one variant and seed under one protocol; `rows` is key -> prediction."""

    variant: str
    seed: int
    facts: RunFacts
    rows: Mapping[str, Prediction]

    @cached_property
    def unit(self) -> str:
        """The unit over which people vary: session, speaker or dialogue (foalnet.evidence.crossed.unit_of)."""
        sessions = {row.session for row in self.rows.values()}
        return unit_of(self.facts.cluster, folds=len(self.facts.folds), sessions=sessions)


Runs = Mapping[str, tuple[Run, ...]]


@dataclass(frozen=True, kw_only=True)
class Results:
    """All inputs of the report. `runs` holds the headline protocol's runs, in the order of params' variants.

    `other_protocols` holds, by protocol, the runs of the other protocols in params; `gaps` are sentences.
    """

    params: Params
    runs: Runs
    manifest: tuple[Utterance, ...]
    counts: Counts | None
    staging: Staging | None
    inventory: Inventory | None
    gaps: tuple[str, ...]
    other_protocols: Mapping[str, Runs] = field(default_factory=dict)

    @property
    def drawn(self) -> bool:
        """Tell whether a program drew the corpus: it shows no real person."""
        return self.inventory is not None and self.inventory.facts.drawn

    @property
    def best_possible(self) -> Mapping[str, float]:
        """The best expected UA (0 to 1) by input (`sound`, `picture`, `both`, `late_average`); empty if not known."""
        return self.inventory.facts.best_scores if self.inventory is not None else {}

    @property
    def first(self) -> Run:
        """The first run; classes, protocol and clusters are the same in all runs."""
        return next(iter(self.runs.values()))[0]

    @property
    def facts(self) -> RunFacts:
        """What the first run states."""
        return self.first.facts

    @property
    def guess(self) -> float:
        """UA of guessing."""
        return 1 / len(self.facts.classes)

    @cached_property
    def used(self) -> tuple[Utterance, ...]:
        """The utterances that have a class."""
        return tuple(u for u in self.manifest if u.used)

    @property
    def named(self) -> NamedSplit | None:
        """The named split of the folds; None for folds by session or speaker."""
        return self.facts.train.named_split

    @property
    def to_test(self) -> int:
        """The number of utterances that should have been tested: all with a class, or those of a fixed test part."""
        if self.named is None or not self.named.fixed:
            return len(self.used)
        return len(self.first.rows) + len(self.facts.unpredicted)

    @property
    def every_run(self) -> list[Run]:
        """The runs under all protocols."""
        return [run for runs in (self.runs, *self.other_protocols.values()) for group in runs.values() for run in group]

    def count(self, unit: str) -> int:
        """Return the number of speakers, sessions or dialogues of the predictions."""
        return len({getattr(row, unit) for row in self.first.rows.values()})


def read(params: Params, paths: Paths) -> Results:
    """Read and check the stages' outputs (DataError, exit 3, where there is no run or runs do not agree)."""
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
    accounts = _Accounts(paths=paths, gaps=gaps)
    inventory = accounts.read(Inventory, paths.inventory, "inventory", "which files were used, and their digests")
    counts = accounts.read(Counts, paths.counts, "manifest", "whether the corpus is complete, and what was dropped")
    staging = accounts.read(
        Staging, paths.staging, "shards", "how many faces were detected, what was repaired in sound and picture"
    )
    manifest: list[Utterance] = []
    if paths.manifest.is_file():
        manifest = read_manifest(paths.manifest, corpus=paths.corpus)
    else:
        gaps.append(f"{accounts.name(paths.manifest)} is absent: hours and unused utterances cannot be shown.")
    _check_losses(manifest, staging, every, paths)
    return Results(
        params=params,
        runs=runs,
        manifest=tuple(manifest),
        counts=counts,
        staging=staging,
        inventory=inventory,
        gaps=tuple(gaps),
        other_protocols=other_protocols,
    )


@dataclass(frozen=True, kw_only=True)
class _Accounts:
    """Reads the accounts of earlier stages, and notes those that are absent in `gaps`."""

    paths: Paths
    gaps: list[str]

    def name(self, path: Path) -> str:
        return path.relative_to(self.paths.home).as_posix()

    def read(self, record: type[Record], path: Path, by: str, what: str) -> Record | None:
        if not path.is_file():
            self.gaps.append(f"{self.name(path)} is absent, so the report cannot show {what}.")
            return None
        again = f"{by}@{self.paths.corpus}"
        account = read_sealed(path, again=again, corpus=self.paths.corpus)
        return _validated(record, account | {"digest": content_key(account)}, path, again)


def _validated(record: type[Record], value: Mapping[str, Any], path: Path, again: str) -> Record:
    """Return a JSON object as a record; DataError (exit 3) where a field is missing or has another type."""
    try:
        return TypeAdapter(record).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        what = f"cannot be used: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise refused(what, path, again=again) from error


def _check_losses(manifest: Sequence[Utterance], staging: Staging | None, runs: Sequence[Run], paths: Paths) -> None:
    """Raise DataError (exit 3) for a run that lacks usable utterances which staging did not drop with a reason."""
    if not manifest or staging is None:
        return
    dropped = {entry.item for entry in staging.ledger.entries if entry.kind == "dropped"}
    wanted = {u.key for u in manifest if u.used} - dropped
    for run in runs:
        named = run.facts.train.named_split
        tested = {*run.rows, *run.facts.unpredicted} if named and named.fixed else wanted
        if lost := sorted((wanted & tested) - set(run.rows)):
            more = f" and {len(lost) - LOST_SHOWN} more" if len(lost) > LOST_SHOWN else ""
            raise DataError(
                f"{len(lost)} of {len(wanted)} utterances were not scored, and staging.json gives no reason: "
                f"{', '.join(lost[:LOST_SHOWN])}{more}",
                file=paths.run(run.variant, run.seed, run.facts.protocol) / PREDICTIONS,
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
    folder = paths.run(variant, seed, protocol)
    results = read_results(paths, folder)
    if results is None:
        under = "" if protocol == HEADLINE else f" under {protocol}"
        where = "every table" if protocol == HEADLINE else "the tables of that protocol"
        gaps.append(f"Variant {variant}, seed {seed} has not been evaluated{under}: it is missing from {where}.")
        return None
    stated = dict(results.metrics)
    stated["pooled"] = _by_metric(stated.get("pooled", {}))
    stated["folds"] = {name: _by_metric(fold) for name, fold in sorted(stated.get("folds", {}).items())}
    facts = _validated(RunFacts, stated, folder / RUN_METRICS, f"evaluate@{paths.corpus}-{run_name(variant, seed)}")
    rows = {key: Prediction(**row) for key, row in results.rows.items()}
    return Run(variant=variant, seed=seed, facts=facts, rows=rows)


def _by_metric(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return scores with those of METRICS in a mapping of their own."""
    return {**scores, "metrics": {metric.key: scores.get(metric.key) for metric in METRICS}}


def _check_agreement(runs: Sequence[Run], paths: Paths, protocol: str, first: Run) -> None:
    """Raise DataError for runs that cannot be compared: other classes, clusters, split, or label of an utterance."""
    for run in runs:
        file = paths.run(run.variant, run.seed, protocol)
        for what in ("classes", "cluster", "split"):
            value, expected = getattr(run.facts, what), getattr(first.facts, what)
            if value != expected:
                raise DataError(
                    f"{what} is {value} here; {expected} is expected, as in {first.variant}-s{first.seed}",
                    file=file / RUN_METRICS,
                    action="run `dvc repro`: a run is older than params.yaml",
                )
        for key in run.rows.keys() & first.rows.keys():
            if run.rows[key].label != first.rows[key].label:
                raise DataError(
                    f"the label is {run.rows[key].label} here and {first.rows[key].label} in another run",
                    file=file / PREDICTIONS,
                    utterance=key,
                    action="run `dvc repro`: a run is older than the manifest",
                )
