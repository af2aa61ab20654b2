"""Checks the rows of a file: keys, labels, the order of the classes, constant and shuffled predictions, seeds.

Shape letters: N rows, C classes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np

from foalnet.audit.base import Case, Check, check, first_few, ok
from foalnet.audit.reference import fixed_split, tested_by
from foalnet.audit.values import repeated
from foalnet.evidence.metrics import accuracy, confusion, mean_recall
from foalnet.evidence.report.phrases import plural

# Another order of the classes is a fault from a gain of FAR on, a warning from NEAR on.
FAR, NEAR = 0.10, 0.02
# The chance that the best of all permutations gains as much where the declared one is right.
ALPHA = 0.01
CONSTANT = 0.95
FEW, FEWEST = 10, 30
# Standard deviations of agreement beyond chance that rule out shuffled labels.
CLEAR = 3.0


def rows_of_manifest(case: Case) -> Iterator[Check]:
    """Yield unknown, unused and missing utterances, by seed; without a manifest, what one seed lacks of the others."""
    table, reference = case.table, case.table.reference
    rows_N = case.tested_N & case.epoch_N
    by_seed: dict[str, set[str]] = {}
    for row in np.flatnonzero(rows_N).tolist():
        by_seed.setdefault(table.seed_N[row], set()).add(table.key_N[row])
    if reference is None:
        if not table.keyed:
            yield check("unknown", "warning", "the file has no keys: rows are numbered, and no utterance is recognised")
        every, name = set[str]().union(*by_seed.values()), "the other seeds"
    else:
        unknown_N, name = ~table.known_N, reference.name
        if unknown_N.any():
            wrong = case.keys(unknown_N)
            yield check("unknown", "fault", f"keys that are not in {name}: {len(set(wrong)):,}", wrong)
        else:
            yield ok("unknown", f"each key is in {name}")
        unused_N = rows_N & table.known_N & (table.label_N < 0)
        if unused_N.any():
            wrong = case.keys(unused_N)
            yield check("unused", "warning", f"{len(set(wrong)):,} utterances have no class in {name}: "
                        "they are left out of the scores", wrong)  # fmt: skip
        split = fixed_split(reference, set(case.keys(rows_N)) & reference.used.keys())
        every = set(reference.tested or (tested_by(split, reference) if split else reference.used))
        name += f" (test part of {split.name})" if split else ""
    if reference is None and len(by_seed) < 2:
        yield ok("missing", "no manifest: what is missing cannot be said")
        return
    for seed, keys in sorted(by_seed.items()):
        if lacking := every - keys:
            text = f"without a row{_of_seed(seed)}: {len(lacking):,} of {len(every):,} utterances of {name}"
            yield check("missing", "fault", text + _whole(case, every, lacking), lacking)
    if all(keys >= every for keys in by_seed.values()):
        yield ok("missing", f"all {len(every):,} utterances of {name} have a row")


def _of_seed(seed: str) -> str:
    return f" of seed {seed}" if seed else ""


def _whole(case: Case, every: set[str], lacking: set[str]) -> str:
    """Return which sessions are missing as a whole."""
    reference = case.table.reference
    if reference is None:
        return ""
    there = Counter(reference.utterances[key].session for key in every)
    gone = Counter(reference.utterances[key].session for key in lacking)
    whole = sorted(session for session, count in gone.items() if count == there[session])
    return f"; whole sessions: {first_few(whole)}" if whole else ""


def labels(case: Case) -> Iterator[Check]:
    """Yield labels that are absent, of no class, of two kinds, of one class, or not the manifest's."""
    table, classes, fault = case.table, case.table.order.classes, False
    if table.stated_N is not None:
        none_N = (table.stated_N < 0) & case.tested_N
        if table.reference is not None:
            # What has no class in the manifest is another check's.
            none_N &= table.label_N >= 0
        if none_N.any():
            fault = True
            text = f"no label that is one of {first_few(classes, 20)}: {plural(int(none_N.sum()), 'row')}"
            if table.unknown_labels:
                text += f"; labels: {first_few(list(table.unknown_labels))}"
            yield check("labels", "fault", text, case.keys(none_N))
        if table.mixed:
            yield check("labels", "warning", "the labels are of two kinds, names and numbers")
    if table.reference is not None and table.stated_N is not None:
        wrong_N = (table.stated_N >= 0) & (table.label_N >= 0) & (table.stated_N != table.label_N)
        if wrong_N.any():
            fault = True
            yield check("labels", "fault", _differing(case, wrong_N), case.keys(wrong_N))
    there = Counter(table.label_N[case.scored_N].tolist())
    if len(there) == 1:
        yield check("labels", "warning", f"every label is {classes[next(iter(there))]}: UA is one recall")
    if not fault:
        source = f"those of {table.reference.name}" if table.reference else "classes"
        yield ok("labels", f"all labels are {source}" if table.stated_N is not None else f"labels are {source}")


def _differing(case: Case, wrong_N: np.ndarray) -> str:
    """Return how labels differ from the manifest's; where one order of the classes explains it, that order."""
    table, classes = case.table, case.table.order.classes
    assert table.stated_N is not None and table.reference is not None
    pairs = Counter(zip(table.stated_N[wrong_N].tolist(), table.label_N[wrong_N].tolist(), strict=True))
    common = [f"{classes[here]} here, {classes[there]} there: {n:,}" for (here, there), n in pairs.most_common(3)]
    text = f"labels that are not those of {table.reference.name}: {int(wrong_N.sum()):,} ({'; '.join(common)})"
    both_N = (table.stated_N >= 0) & (table.label_N >= 0)
    counts_CC = confusion(table.stated_N[both_N], table.label_N[both_N], len(classes))
    best_C = _assigned(counts_CC)
    explained = counts_CC[np.arange(len(classes)), best_C].sum() / counts_CC.sum()
    if explained >= 0.99 and (best_C != np.arange(len(classes))).any():
        text += f"; the order {', '.join(classes[at] for at in best_C)} explains them: give it by --classes"
    return text


def _assigned(counts_CC: np.ndarray) -> np.ndarray:
    """Return for each row the column of the best one-to-one assignment."""
    from scipy.optimize import linear_sum_assignment

    column_C: np.ndarray = linear_sum_assignment(counts_CC, maximize=True)[1]
    return column_C


def agreement(case: Case) -> Iterator[Check]:
    """Yield where the column of predictions is not the class of the largest probability; ties are no fault."""
    table = case.table
    if table.answer_N is None or case.argmax_N is None or case.probability_NC is None:
        return
    both = np.flatnonzero((table.answer_N >= 0) & (case.argmax_N >= 0))
    answer_N = table.answer_N[both]
    own_N = case.probability_NC[both, answer_N]
    # Printed digits can make two probabilities equal.
    wrong = both[case.probability_NC[both].max(axis=1) - own_N > 1e-6]
    if not len(wrong):
        yield ok("predicted", f"`{table.column('predicted')}` is the class of the largest probability")
        return
    text = f"`{table.column('predicted')}` is not the class of the largest probability in {plural(len(wrong), 'row')}"
    yield check("predicted", "fault", f"{text}; the column is scored", (table.key_N[row] for row in wrong))


def class_order(case: Case) -> Iterator[Check]:
    """Yield whether another order of the classes fits the labels far better, in all rows or in one seed and fold."""
    table, said = case.table, case.argmax_N if case.argmax_N is not None else case.predicted_N
    rows = np.flatnonzero(case.scored_N & (said >= 0))
    if not len(rows):
        return
    whole = _better_order(case, said, rows, "")
    if whole is not None:
        yield whole
        return
    groups = {name: of for name, of in case.runs.items() if len(case.runs) > 1}
    wrong = []
    for (seed, fold), of in groups.items():
        name = " ".join(filter(None, (f"seed {seed}" if seed else "", f"fold {fold}" if fold else "")))
        if (each := _better_order(case, said, of[said[of] >= 0], f" in {name}")) is not None:
            wrong.append(each)
    yield from wrong
    if not wrong:
        text = f"no other order fits the labels far better than {', '.join(table.order.classes[:20])}"
        yield ok("class order", f"{text} ({table.order.source})")


def _better_order(case: Case, said_N: np.ndarray, rows: np.ndarray, where: str) -> Check | None:
    """Return the fault if the best order of the classes gains more than chance and many points; else None."""
    from scipy.stats import binom

    table = case.table
    classes = table.order.classes
    if not len(rows):
        return None
    counts_CC = confusion(said_N[rows], table.label_N[rows], len(classes))
    best_C = _assigned(counts_CC)
    moved_CC = np.zeros_like(counts_CC)
    moved_CC[best_C] = counts_CC
    before, after = accuracy(counts_CC), accuracy(moved_CC)
    gain = min(after - before, mean_recall(moved_CC.T) - mean_recall(counts_CC.T))
    moved_C = best_C != np.arange(len(classes))
    lost = int(counts_CC.diagonal()[moved_C].sum())
    won = int(counts_CC[np.arange(len(classes)), best_C][moved_C].sum())
    chance = math.lgamma(len(classes) + 1) + float(binom.logsf(won - 1, won + lost, 0.5)) if won + lost else 0.0
    if gain < NEAR or chance > math.log(ALPHA):
        return None
    holds = first_few([classes[at] for at in best_C], 20)
    source = f"{', '.join(classes[:20])} is {table.order.source}" if table.order.assumed else (
        f"{', '.join(classes[:20])}, by {table.order.source}")  # fmt: skip
    text = (
        f"wrong order of the classes{where}: by the labels it is {holds} ({source}): "
        f"accuracy {100 * after:.1f} % instead of {100 * before:.1f} %"
    )
    return check("class order", "fault" if gain >= FAR else "warning", f"{text}; give --classes")


def constant(case: Case) -> Iterator[Check]:
    """Yield whether predictions are of one class, nearly of one class, or of one class in a whole fold."""
    table, classes = case.table, case.table.order.classes
    rows = np.flatnonzero(case.scored_N)
    number, count = Counter(case.predicted_N[rows].tolist()).most_common(1)[0]
    of_label = float((table.label_N[rows] == number).mean())
    name, share = "constant", count / len(rows)
    if len(rows) >= FEW and of_label < 1 and share == 1:
        yield check(
            name, "fault", f"every prediction is {classes[number]}; so are {100 * of_label:.1f} % of the labels"
        )
        return
    if share >= CONSTANT and of_label < CONSTANT - 0.05:
        yield check(name, "warning", f"{100 * share:.1f} % of the predictions are {classes[number]}, and "
                    f"{100 * of_label:.1f} % of the labels")  # fmt: skip
        return
    dead = [
        f"seed {seed} {fold}".strip() if seed else fold
        for (seed, fold), of in case.runs.items()
        if len(of) >= FEW and len(set(case.predicted_N[of])) == 1 and len(set(table.label_N[of])) > 1
    ]
    if dead:
        yield check(name, "warning", f"all predictions are of one class in {first_few(dead)}")
    else:
        yield ok(name, f"the most frequent prediction, {classes[number]}, is {100 * share:.1f} % of all")


def copied(case: Case) -> Iterator[Check]:
    """Yield whether rows repeat the probabilities of others, and whether two seeds are one."""
    if case.probability_NC is not None:
        seed = next(iter(case.by_seed))
        rows_N = np.zeros(len(case.table), dtype=bool)
        rows_N[case.by_seed[seed]] = True
        yield repeated(case.probability_NC, rows_N, case.table.key_N)
    if len(case.by_seed) < 2:
        return
    seen: dict[bytes, str] = {}
    same = []
    numbers = case.predicted_N[:, None] if case.probability_NC is None else case.probability_NC
    for seed, rows in case.by_seed.items():
        order = sorted(rows.tolist(), key=lambda row: case.table.key_N[row])
        if (first := seen.setdefault(numbers[order].tobytes(), seed)) != seed:
            same.append(f"{first} and {seed}")
    if same:
        yield check("seeds", "fault", f"seeds with the same predictions in every row: {first_few(same)}")
    else:
        yield ok("seeds", f"{len(case.by_seed)} seeds, no two with the same predictions in every row")


def shuffled(case: Case) -> Iterator[Check]:
    """Yield whether the predictions agree with the labels more often than with labels in a random order."""
    rows = np.flatnonzero(case.scored_N)
    counts_CC = confusion(case.table.label_N[rows], case.predicted_N[rows], len(case.table.order.classes))
    z = agreement_z(counts_CC)
    if z is None or len(rows) < FEWEST:
        yield ok("shuffled", "too few or too equal rows to say whether the labels were shuffled")
    elif z < CLEAR <= (agreement_z(counts_CC[:, _assigned(counts_CC)]) or 0) - CLEAR:
        yield ok("shuffled", "in another order of the classes the predictions agree with the labels: see there")
    elif z < CLEAR:
        yield check("shuffled", "warning", "the predictions agree with the labels no more often than with shuffled "
                    f"labels (z = {z:.1f}): rows of labels and predictions may not belong together")  # fmt: skip
    else:
        yield ok(
            "shuffled", f"the predictions agree with the labels far more often than with shuffled ones (z = {z:.1f})"
        )


def agreement_z(counts_CC: np.ndarray) -> float | None:
    """Return by how many standard deviations agreement exceeds that of labels in a random order.

    Mean and variance are those of all orders of the labels (Hoeffding 1951). None where all orders give the same.

    >>> round(agreement_z(np.array([[10, 0], [0, 10]])), 2)  # mean 10, variance 20 * 20 / 4 / 19
    4.36
    """
    total = counts_CC.sum()
    label_C, answer_C = counts_CC.sum(axis=1) / total, counts_CC.sum(axis=0) / total
    mean = float(label_C @ answer_C)
    spread_CC = np.eye(len(counts_CC)) - answer_C[:, None] - label_C[None, :] + mean
    variance = float((label_C[:, None] * answer_C[None, :] * spread_CC**2).sum()) * total**2 / max(1, total - 1)
    return float((counts_CC.trace() - total * mean) / np.sqrt(variance)) if variance > 1e-9 else None
