"""Prints the results of bench.ravdess: UA with intervals over actors, paired differences, the learning curve.

Each utterance has one value, its correctness averaged over seeds; clusters are actors (foalnet.evidence.stats).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from statistics import mean

from bench.ravdess_arms import ARMS, Answer
from bench.ravdess_data import Corpus
from foalnet.evidence.stats import Difference, Interval, difference, interval

# UAs that the SVM must reach to be a fair baseline: (arm, classes) -> UA.
YARDSTICK = {("svm_units", 4): 0.70, ("svm_both", 4): 0.82, ("svm_both", 8): 0.67}
PAIRS = (
    ("foal", "svm_both"),
    ("baseline", "svm_both"),
    ("foal", "baseline"),
    ("avel", "baseline"),
    ("mem", "baseline"),
    ("foal", "audio_only"),
    ("foal", "video_only"),
    ("audio_only", "svm_sound"),
    ("video_only", "svm_units"),
)
MAY_LOSE = 0.02
# Sign flips of a paired test.
PERMUTATIONS = 10_000


class Scores:
    """Correctness of every tested utterance of one class set by arm, averaged over the seeds that were run."""

    def __init__(self, corpus: Corpus, answers: Sequence[Answer]) -> None:
        self.corpus, self.answers = corpus, answers
        self.label = {u.key: str(u.label) for u in corpus.utterances}
        self.speaker = {u.key: u.speaker for u in corpus.utterances}

    def right(self, variant: str, groups: int = 0, seeds: Collection[int] = ()) -> dict[str, float]:
        """Return key -> share of correct seeds (of `seeds`, default all); empty where nothing was run."""
        rows: dict[str, list[float]] = defaultdict(list)
        for answer in self.answers:
            job = answer.job
            if (job.variant, job.groups) == (variant, groups) and (not seeds or job.seed in seeds):
                for key, predicted in answer.predicted.items():
                    rows[key].append(float(predicted == self.label[key]))
        return {key: mean(rows[key]) for key in sorted(rows)}

    def ua(self, variant: str, groups: int = 0, seeds: Collection[int] = ()) -> Interval | None:
        """Return UA with its interval over actors."""
        right = self.right(variant, groups, seeds)
        if not right:
            return None
        report = self.corpus.params.report
        return interval(
            list(right.values()),
            [self.speaker[key] for key in right],
            [self.label[key] for key in right],
            metric="ua",
            level=report.level,
            resamples=report.bootstrap,
            seed=report.seed,
        )

    def gap(self, a: str, b: str) -> Difference | None:
        """Return the difference a minus b over the utterances that both were tested on."""
        right_a, right_b = self.right(a), self.right(b)
        both = sorted(right_a.keys() & right_b.keys())
        if not both:
            return None
        report = self.corpus.params.report
        return difference(
            [right_a[key] for key in both],
            [right_b[key] for key in both],
            [self.speaker[key] for key in both],
            [self.label[key] for key in both],
            metric="ua",
            level=report.level,
            resamples=report.bootstrap,
            permutations=PERMUTATIONS,
            seed=report.seed,
        )

    def dev_ua(self, variant: str) -> str:
        """Return the mean UA in percent that selected an arm's SVMs in the folds; "-" for a network."""
        uas = [a.dev_ua for a in self.answers if a.job.variant == variant and not a.job.groups]
        return f"{100 * mean(ua for ua in uas if ua is not None):.1f}" if None not in uas else "-"

    def trainings(self, variant: str) -> str:
        """Return a row's number of seeds and folds as text."""
        jobs = [a.job for a in self.answers if a.job.variant == variant and not a.job.groups]
        folds = f"{len({job.fold for job in jobs})} folds"
        return folds if variant in ARMS else f"{len({job.seed for job in jobs})} seeds x {folds}"


def _said(interval: Interval) -> str:
    return f"{100 * interval.estimate:5.1f} [{100 * interval.low:5.1f}, {100 * interval.high:5.1f}]"


def lines(count: int, scores: Scores, variants: Sequence[str]) -> Iterator[str]:
    """Yield the tables of one class set, line by line."""
    corpus = scores.corpus
    actors = len(set(scores.speaker.values()))
    level = 100 * corpus.params.report.level
    yield f"\n## {count} classes: {', '.join(corpus.params.manifest.classes)}"
    yield f"{len(corpus.utterances)} clips, {actors} actors, {len(corpus.folds)} folds by actor; {level:g} % intervals"
    yield f"\n{'arm':12} {'test UA % [interval]':24} {'dev UA %':9} trained"
    warning = None
    for variant in (*ARMS, *variants):
        ua = scores.ua(variant)
        if ua is not None:
            warning = warning or ua.warning
            yield f"{variant:12} {_said(ua):24} {scores.dev_ua(variant):>8}  {scores.trainings(variant)}"
    if warning:
        yield f"({ua.method if ua else 't'} intervals: {warning})"
    yield f"\n{'paired difference':28} {'points of UA [interval]':26} p (sign flips of actors)"
    for a, b in PAIRS:
        gap = scores.gap(a, b)
        if gap is not None:
            yield f"{a + ' - ' + b:28} {_said(gap.interval):26} {gap.p:.4f}{' exact' if gap.exact else ''}"
    yield from _verdicts(count, scores)
    yield from _curve(scores)


def _verdicts(count: int, scores: Scores) -> Iterator[str]:
    yield ""
    counts = True
    for (arm, classes), least in YARDSTICK.items():
        ua = scores.ua(arm)
        if classes == count and ua is not None:
            reached = ua.estimate >= least
            counts &= reached
            yield f"yardstick: {arm} {100 * ua.estimate:.1f}, needed {100 * least:g}: {_answer(reached)}"
    gap = scores.gap("foal", "svm_both")
    if gap is None:
        return
    ua = gap.interval
    yield f"the SVM counts as a yardstick: {_answer(counts)}"
    yield (
        f"foal loses at most {100 * MAY_LOSE:g} points against it: {_answer(ua.estimate >= -MAY_LOSE)} by the "
        f"estimate, {_answer(ua.low >= -MAY_LOSE)} by the whole interval"
    )


def _answer(yes: bool) -> str:
    return "yes" if yes else "no"


def _curve(scores: Scores) -> Iterator[str]:
    """Yield test UA over the number of training actors, where shorter folds were trained."""
    sizes = sorted({a.job.groups for a in scores.answers if a.job.groups})
    if not sizes:
        return
    # The full folds are shown for the same seeds as the shorter ones.
    seeds = {a.job.seed for a in scores.answers if a.job.groups}
    names = sorted({a.job.variant for a in scores.answers if a.job.groups})
    fold_actors = {f.name: f for f in scores.corpus.folds}
    by_group: dict[str, set[str]] = defaultdict(set)
    for key, group in scores.corpus.groups.items():
        by_group[group].add(scores.speaker[key])
    yield f"\n{'training actors (mean)':24} " + " ".join(f"{name:24}" for name in names)
    for groups in (*sizes, 0):
        actors = mean(
            sum(len(by_group[g]) for g in (f.train[:groups] if groups else f.train)) for f in fold_actors.values()
        )
        cells = [scores.ua(name, groups, seeds) for name in names]
        yield f"{actors:<24.1f} " + " ".join(f"{_said(interval) if interval else '-':24}" for interval in cells)
