"""Chooses the rows of a file that are scored: the test part, one epoch, one row for each seed and utterance.

Shape letters: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from foalnet.audit.base import Case, Check, check, first_few, grouped, ok
from foalnet.audit.table import Predictions
from foalnet.audit.values import NAME, probabilities_of
from foalnet.core.errors import UsageError
from foalnet.evidence.metrics import confusion, mean_recall
from foalnet.evidence.report.phrases import plural


def case_of(table: Predictions, epoch: int | None) -> tuple[Case, list[Check]]:
    """Return the rows that are scored, and the checks that choosing them makes. `epoch`: None for the last one.

    UsageError (exit 2) if the file has no rows of that epoch, DataError (exit 3) if no row can be scored.
    """
    probability_NC, argmax_N = None, None
    checks: list[Check] = []
    if table.value_NC is not None:
        probability_NC, checks = probabilities_of(table.value_NC, table.key_N)
        argmax_N = np.where(np.isnan(probability_NC).any(axis=1), -1, np.nan_to_num(probability_NC).argmax(axis=1))
    predicted_N = table.answer_N if table.answer_N is not None else argmax_N
    assert predicted_N is not None
    if table.answer_N is not None and argmax_N is not None:
        # A row without a prediction of its own is scored by its probabilities.
        predicted_N = np.where(predicted_N < 0, argmax_N, predicted_N)
    tested_N = _tested(table)
    right_N = (table.label_N == predicted_N) & (table.label_N >= 0)
    epoch_N, of_epochs = _epochs(table, tested_N, predicted_N, epoch)
    first_N, of_doubles = _firsts(table, tested_N, epoch_N, right_N)
    scored_N = first_N & (table.label_N >= 0) & (predicted_N >= 0)
    if not scored_N.any():
        raise table.columns.fault(
            _nothing(table), "check the columns (--column), the classes (--classes) and the manifest"
        )
    case = Case(
        table=table,
        probability_NC=probability_NC,
        argmax_N=argmax_N,
        predicted_N=predicted_N,
        tested_N=tested_N,
        epoch_N=epoch_N,
        scored_N=scored_N,
    )
    return case, [*of_doubles, *checks, *_without(case), *of_epochs]


def _nothing(table: Predictions) -> str:
    """Return why no row can be scored."""
    if not table.known_N.any():
        return f"no row's key is in {table.reference.name if table.reference else 'the file'}, such as {table.key_N[0]}"
    classes, wrong = first_few(table.order.classes, 20), [*table.unknown_labels, *table.unknown_answers]
    what = f"no row has a label and a prediction that are one of {classes}, or finite probabilities"
    return f"{what}; other values: {first_few(wrong)}" if wrong else what


def _tested(table: Predictions) -> np.ndarray:
    """Return the rows of the test part: all where the file has none."""
    test_N = np.array([part == "test" for part in table.part_N or ()])
    return test_N if test_N.any() else np.ones(len(table), dtype=bool)


def _without(case: Case) -> Iterator[Check]:
    """Yield the rows that have no prediction."""
    none_N = case.tested_N & case.epoch_N & (case.predicted_N < 0)
    if case.table.answer_N is None and case.table.value_NC is not None:
        # Numbers that are not finite are named already.
        none_N &= np.isfinite(case.table.value_NC).all(axis=1)
    if none_N.any():
        what = f"no prediction that is a class: {plural(int(none_N.sum()), 'row')}, left out of the scores"
        if case.table.unknown_answers:
            what += f"; predicted: {first_few(list(case.table.unknown_answers))}"
        yield check("predicted" if case.table.answer_N is not None else NAME, "fault", what, case.keys(none_N))


def _firsts(
    table: Predictions, tested_N: np.ndarray, epoch_N: np.ndarray, right_N: np.ndarray
) -> tuple[np.ndarray, list[Check]]:
    """Return the first row of each seed and utterance in the chosen epoch, and the check of doubled rows."""
    folds = table.fold_N or [""] * len(table)
    epochs = table.epoch_N or [""] * len(table)
    names = list(zip(table.seed_N, folds, epochs, table.key_N, strict=True))
    doubled, answers = set[int](), dict[tuple[str, ...], int]()
    conflicts = set[str]()
    for row in np.flatnonzero(tested_N).tolist():
        first = answers.setdefault(names[row], row)
        if first != row:
            doubled.add(row)
            if right_N[first] != right_N[row]:
                conflicts.add(table.key_N[row])
    seen, first_N = set[tuple[str, str]](), np.zeros(len(table), dtype=bool)
    for row in np.flatnonzero(tested_N & epoch_N).tolist():
        name = (table.seed_N[row], table.key_N[row])
        first_N[row] = name not in seen
        seen.add(name)
    if not doubled:
        return first_N, [ok("doubled", "each utterance stands once for each seed, fold and epoch")]
    text = f"rows that repeat an utterance: {len(doubled):,}; the first row of each is scored"
    if conflicts:
        text += f"; right in one row and wrong in another: {plural(len(conflicts), 'utterance')}"
    return first_N, [check("doubled", "fault", text, (table.key_N[row] for row in doubled))]


def _epochs(
    table: Predictions, tested_N: np.ndarray, predicted_N: np.ndarray, epoch: int | None
) -> tuple[np.ndarray, list[Check]]:
    """Return the rows of the chosen epoch, by default the last of each seed and fold; and what choosing on test gives.

    The optimism is the pooled UA with each seed's and fold's best epoch on the test part, minus that of the chosen one.
    """
    every_N = np.ones(len(table), dtype=bool)
    if table.epoch_N is None:
        if epoch is not None:
            raise UsageError(
                "--epoch: the file has no column of epochs", file=table.columns.file, action="leave --epoch out"
            )
        return every_N, []
    number_N = np.array([_float(text) for text in table.epoch_N])
    if np.isnan(number_N).any():
        wrong = [table.key_N[row] for row in np.flatnonzero(np.isnan(number_N))]
        return every_N, [
            check("selection", "fault", "epochs that are no numbers: all rows are taken as one epoch", wrong)
        ]
    folds = table.fold_N or [""] * len(table)
    runs = grouped(zip(table.seed_N, folds, strict=True), np.flatnonzero(tested_N))
    chosen_N = np.zeros(len(table), dtype=bool)
    best_N, last_N = np.zeros(len(table), dtype=bool), np.zeros(len(table), dtype=bool)
    choices: dict[str, str] = {}
    for (seed, fold), rows in runs.items():
        epochs = sorted(set(number_N[rows].tolist()))
        scores = {each: _ua(table, rows[number_N[rows] == each], predicted_N) for each in epochs}
        best, taken = max(epochs, key=lambda each: scores[each]), epochs[-1] if epoch is None else float(epoch)
        chosen_N[rows[number_N[rows] == taken]] = True
        last_N[rows[number_N[rows] == epochs[-1]]] = True
        best_N[rows[number_N[rows] == best]] = True
        name = " ".join(filter(None, (f"seed {seed}" if seed else "", fold))) or "the test part"
        choices[name] = f"{best:g} of {len(epochs)}"
    if not chosen_N.any():
        raise UsageError(f"--epoch {epoch}: the file has no row of it", file=table.columns.file, action="correct it")
    most = max(len(set(number_N[rows].tolist())) for rows in runs.values())
    if most == 1:
        return chosen_N, [ok("selection", "one epoch for each seed and fold: how it was chosen the file does not say")]
    best, last, chosen = (_pooled(table, rows_N, predicted_N) for rows_N in (best_N, last_N, chosen_N))
    text = (
        f"rows of up to {most} epochs; {'the last' if epoch is None else f'epoch {epoch}'} is scored. The best epochs "
        f"on the test part have {100 * (best - last):+.1f} points of UA more than the last: that much a score of them "
        "is optimistic"
    )
    if epoch is not None:
        text += f"; epoch {epoch} has {100 * (chosen - last):+.1f}"
    text += f". Best: {first_few([f'{name} epoch {each}' for name, each in choices.items()])}"
    return chosen_N, [check("selection", "warning" if best > last else "ok", text)]


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _ua(table: Predictions, rows: np.ndarray, predicted_N: np.ndarray) -> float:
    """Return the UA of rows that have a class and a prediction; 0 without any."""
    kept = rows[(table.label_N[rows] >= 0) & (predicted_N[rows] >= 0)]
    classes = len(table.order.classes)
    return mean_recall(confusion(table.label_N[kept], predicted_N[kept], classes)) if len(kept) else 0.0


def _pooled(table: Predictions, rows_N: np.ndarray, predicted_N: np.ndarray) -> float:
    """Return the mean over seeds of the UA of their rows."""
    seeds: Sequence[str] = table.seed_N
    by_seed = grouped(seeds, np.flatnonzero(rows_N))
    return float(np.mean([_ua(table, rows, predicted_N) for rows in by_seed.values()]))
