"""Sections with the detail: folds, classes and confusion, calibration, training, limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from foalnet.evidence.report import figures, projection
from foalnet.evidence.report.aggregate import Result
from foalnet.evidence.report.gather import Facts
from foalnet.evidence.report.phrases import listed, number, percent
from foalnet.evidence.report.view import Block, Bullets, Cell, Note, Paragraph, Section, Table, Tables

# Description of each count that `train` records.
COUNTED = {
    "audio_truncated": "sounds cut to train.max_s",
    "bad_steps": "steps skipped: loss or gradient not finite",
    "not_in_shards": "utterances without a clip",
    "pairs_without_negative": "pairs left out of MEM: no negative in the batch",
    "pairs_without_video": "pairs left out of AVEL and MEM: no picture",
    "video_missing": "utterances without any picture",
    "weights": "weights of the network",
}


def folds(facts: Facts, table: Sequence[Result]) -> Section:
    """Return UA and WA of every fold, and the epochs chosen on the dev part."""
    variants = tuple(result.variant for result in table)
    absent = [
        f"The test part of fold {name} has no utterance of class {listed(fold['absent'])}: the fold's UA is the mean "
        "over the other classes."
        for name, fold in table[0].folds.items()
        if fold["absent"]
    ]
    unit = facts.first.metrics["cluster"]
    tested = "group of speakers tested" if unit == "speaker" else "session tested"
    scored = [
        Table(
            title=title,
            caption=f"{title} of each fold in percent. Last row: mean and standard deviation over folds and seeds.",
            head=(f"Fold ({tested})", "Utterances", *variants),
            rows=(*_fold_rows(table, metric), _mean_row(table, metric)),
        )
        for title, metric in (("UA", "ua"), ("WA", "wa"))
    ]
    epochs = Table(
        title="Chosen epochs",
        caption="The epoch chosen on the dev part, out of the epochs that were run; one figure per seed.",
        head=("Fold", *variants),
        rows=tuple(
            (Cell(text=name), *(Cell(text=_epochs(result.folds[name])) for result in table)) for name in table[0].folds
        ),
    )
    blocks: list[Block] = [figures.folds(table, 1 / len(facts.classes)), Tables(tables=(*scored, epochs))]
    blocks += [Note(text=sentence) for sentence in (*absent, *_other_checkpoints(facts))]
    return Section(name="folds", title="Each fold", blocks=tuple(blocks))


def _fold_rows(table: Sequence[Result], metric: str) -> list[tuple[Cell, ...]]:
    return [
        (
            Cell(text=name),
            Cell(text=number(fold["n"])),
            *(Cell(text=percent(result.folds[name][metric])) for result in table),
        )
        for name, fold in table[0].folds.items()
    ]


def _mean_row(table: Sequence[Result], metric: str) -> tuple[Cell, ...]:
    return (
        Cell(text="mean ± sd", strong=True),
        Cell(text=number(sum(fold["n"] for fold in table[0].folds.values()))),
        *(
            Cell(text=f"{percent(spread['mean'])} ± {percent(spread['sd'])}", strong=True)
            for spread in (result.over_folds[metric] for result in table)
        ),
    )


def _other_checkpoints(facts: Facts) -> list[str]:
    """Return a sentence per fold whose stored weights are not those of the scored epoch."""
    return [
        f"{run.variant}, seed {run.seed}, fold {name}: epoch {fold['epoch']} was scored, but the stored weights are "
        f"those of epoch {fold['checkpoint_epoch']}."
        for group in facts.runs.values()
        for run in group
        for name, fold in sorted(run.metrics["folds"].items())
        if fold["checkpoint_epoch"] not in (None, fold["epoch"])
    ]


def _epochs(fold: Any) -> str:
    return ", ".join(f"{one} of {run}" for one, run in zip(fold["epochs"], fold["epochs_run"], strict=True))


def classes(facts: Facts, table: Sequence[Result]) -> Section:
    """Return recall per class and the confusion matrices."""
    weighted = (
        Cell(text="weighted F1"),
        Cell(text=number(sum(table[0].support.values()))),
        *(Cell(text=percent(result.means["weighted_f1"])) for result in table),
    )
    rows = (
        (
            Cell(text=name),
            Cell(text=number(table[0].support[name])),
            *(Cell(text=percent(result.recall[name]), shade=result.recall[name]) for result in table),
        )
        for name in facts.classes
    )
    recall = Table(
        caption=(
            "Recall: the share of the utterances of a class that were predicted as this class, in percent. Last row: "
            "the mean F1 over classes, weighted by their utterances."
        ),
        head=("Class", "Utterances", *(result.variant for result in table)),
        rows=(*rows, weighted),
    )
    matrices = Tables(tables=tuple(_confusion(result, facts.classes) for result in table))
    names = [result.variant for result in table]
    clouds = projection.answers(facts, "foal" if "foal" in names else names[-1])
    return Section(
        name="classes",
        title="Each class",
        blocks=(
            recall,
            Paragraph(
                text=(
                    "Confusion: a row is the true class, a column the predicted class; the small figure is the "
                    "percentage of the row. Correct predictions are on the diagonal; a strongly coloured cell off the "
                    "diagonal shows two classes that are confused."
                    + (" Counts are summed over seeds." if len(table[0].seeds) > 1 else "")
                )
            ),
            matrices,
            *([clouds] if clouds is not None else []),
        ),
    )


def _confusion(result: Result, names: Sequence[str]) -> Table:
    rows = []
    for name, counts in zip(names, result.confusion, strict=True):
        total = sum(counts)
        shares = [count / total if total else 0.0 for count in counts]
        rows.append(
            (
                Cell(text=name),
                *(
                    Cell(text=number(count), small=f"{percent(share, 0)} %", shade=share)
                    for count, share in zip(counts, shares, strict=True)
                ),
            )
        )
    return Table(title=result.variant, caption="", head=("true \\ predicted", *names), rows=tuple(rows))


def calibration(table: Sequence[Result]) -> Section:
    """Return the calibration: how well the predicted probabilities match the observed accuracy."""
    rows = tuple((Cell(text=result.variant), Cell(text=percent(result.ece))) for result in table)
    return Section(
        name="calibration",
        title="Calibration",
        blocks=(
            Paragraph(
                text=(
                    "The expected calibration error (ECE) is the mean gap between the confidence of a variant and its "
                    "accuracy, over bins of confidence weighted by their utterances. 0 is perfect."
                )
            ),
            figures.reliability(table),
            Table(caption="Expected calibration error in percent.", head=("Variant", "ECE %"), rows=rows),
        ),
    )


def training(facts: Facts) -> Section:
    """Return the dev curves and the counts that training recorded."""
    blocks: list[Block] = [figures.curves(facts, 1 / len(facts.classes))]
    table = _counts(facts)
    if table:
        blocks.append(table)
    return Section(name="training", title="Training", blocks=tuple(blocks))


def _counts(facts: Facts) -> Table | None:
    """Return a table of training's counts, a column per run; None where no run has any."""
    runs = [run for group in facts.runs.values() for run in group]
    counts = [run.metrics["train"].get("counts", {}) for run in runs]
    names = sorted({name for counted in counts for name in counted})
    if not names:
        return None
    several = len(facts.params.seeds) > 1
    return Table(
        caption="Counts of training; events are summed over folds and epochs.",
        head=("Count", *(f"{run.variant}, seed {run.seed}" if several else run.variant for run in runs)),
        rows=tuple(
            (
                Cell(text=COUNTED.get(name, name.replace("_", " "))),
                *(Cell(text=number(counted.get(name, 0))) for counted in counts),
            )
            for name in names
        ),
    )


def limits(facts: Facts) -> Section:
    """Return what must not be concluded from the figures."""
    items = [
        "The labels are what raters heard and saw, merged by majority. They are not what a person felt.",
        "Acted and prompted speech differs from daily life. A score does not carry over to other people, languages, "
        "rooms, cameras or moods, and fairness between groups of people was not tested.",
        "A system like this must not judge people: not at work, in schools, in hiring, in policing or at borders. In "
        "the European Union inferring emotions at work and in schools is prohibited (AI Act, article 5).",
        "Faces and voices are personal data. This page holds none, and no transcript; it names speakers and "
        "dialogues by the codes of the corpus only.",
    ]
    if facts.params.train.picture == "features":
        items.insert(
            0,
            "The picture of an utterance is one row of precomputed features, so attention over its frames has nothing "
            "to choose from: any gain over the single modalities comes from the whole system, not from the attention.",
        )
    if facts.drawn:
        items.insert(
            0,
            "The drawn corpus shows no people: its figures show that the pipeline works, and nothing about emotion.",
        )
    return Section(name="limits", title="What these figures do not show", blocks=(Bullets(items=tuple(items)),))
