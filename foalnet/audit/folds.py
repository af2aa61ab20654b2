"""Checks who is tested where: speakers and sessions on both sides of a fold, and which named split it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from foalnet.audit.base import Case, Check, check, first_few, ok
from foalnet.audit.reference import Place
from foalnet.core.errors import DataError
from foalnet.core.records import Utterance
from foalnet.corpora.named import DEV, NAMED, NamedSplit
from foalnet.evidence.report.phrases import plural

# A table is compared with a split if its counts are within this share of the split's.
NEAR = 0.05
# Group -> utterances of each class.
Counts = Mapping[str, Counter[str]]


def speakers(case: Case) -> Iterator[Check]:
    """Yield speakers on both sides of a fold; where the file has no training rows, those tested in several folds."""
    name, table = "speakers", case.table
    split = matching(case)
    if split is not None and split.rule == "fixed" and "train" not in (table.part_N or ()):
        said = "none of the tested speakers trains" if split.apart else "tested speakers train, too"
        yield check(name, "ok" if split.apart else "warning", f"in the split {split.name} {said}")
        return
    if not any(place.speaker for place in table.places.values()):
        yield check(name, "warning", "the speakers are unknown: whether one trains and is tested cannot be said; "
                    "name their column by --column speaker=NAME, or a manifest")  # fmt: skip
        return
    if table.part_N is not None and {"train", "test"} <= set(table.part_N):
        yield _both_parts(case, split)
        return
    tested = _where(case, lambda place: place.speaker)
    several = {speaker for speaker, folds in tested.items() if len(folds) > 1}
    keys = _keys_of(case, lambda place: place.speaker, several)
    if several:
        text = f"tested in more than one fold, so that they train in each of these: {plural(len(several), 'speaker')}, "
        yield check(name, "fault", text + first_few(sorted(several)), keys)
    elif len(set(case.fold_N)) > 1:
        yield ok(name, f"each of {len(tested):,} speakers is tested in one fold only")
    else:
        yield _one_part(case, set(tested))


def _both_parts(case: Case, split: NamedSplit | None) -> Check:
    """Return the speakers of the rows of the test part who are in rows of the training part of the same fold."""
    table = case.table
    sides: dict[tuple[str, str], set[str]] = {}
    for row, part in enumerate(table.part_N or ()):
        if speaker := table.places[table.key_N[row]].speaker:
            sides.setdefault((case.fold_N[row], part), set()).add(speaker)
    shared = {
        speaker
        for (fold, part), its in sides.items()
        if part == "test"
        for speaker in its & sides.get((fold, "train"), set())
    }
    if not shared:
        return ok("speakers", "no speaker of the test part is in the training part")
    text = f"in the test part and in the training part: {plural(len(shared), 'speaker')}, {first_few(sorted(shared))}"
    if split is not None and not split.apart:
        return check("speakers", "warning", f"{text}; the split {split.name} is so", ())
    return check("speakers", "fault", text, _keys_of(case, lambda place: place.speaker, shared))


def _one_part(case: Case, tested: set[str]) -> Check:
    """Return whether the speakers of one test part have utterances that may have trained."""
    reference = case.table.reference
    folds = "" if any(case.fold_N) else "the file has no folds; "
    if reference is None:
        return check("speakers", "warning", f"{folds}one test part of {len(tested):,} speakers: whether they also "
                     "train cannot be said without a manifest or folds")  # fmt: skip
    keys = set(case.keys(case.tested_N))
    others = {each.speaker for key, each in reference.used.items() if key not in keys}
    if shared := sorted(tested & others):
        return check("speakers", "warning", f"{folds}{len(shared):,} of {len(tested):,} tested speakers have other "
                     f"utterances, which may have trained: {first_few(shared)}")  # fmt: skip
    if others:
        return ok("speakers", f"none of {len(tested):,} tested speakers has an utterance that is not tested")
    return check("speakers", "warning", "every utterance is tested and the file has no folds: whether a tested speaker "
                 "trains cannot be said")  # fmt: skip


def sessions(case: Case) -> Iterator[Check]:
    """Yield utterances, dialogues and sessions that are tested in more than one fold."""
    if len(set(case.fold_N)) < 2:
        return
    table = case.table
    folds: dict[tuple[str, str], set[str]] = {}
    for row in np.flatnonzero(case.tested_N & case.epoch_N).tolist():
        folds.setdefault((table.seed_N[row], table.key_N[row]), set()).add(case.fold_N[row])
    twice = {key for (_, key), its in folds.items() if len(its) > 1}
    if twice:
        text = f"tested in more than one fold: {plural(len(twice), 'utterance')}; one row of each is scored"
        yield check("folds", "fault", text, twice)
    kinds: dict[str, Callable[[Place], str | None]] = {
        "sessions": lambda place: place.session,
        "dialogues": lambda place: place.dialogue,
    }
    for kind, of in kinds.items():
        tested = _where(case, of)
        several = {name for name, its in tested.items() if len(its) > 1}
        if several:
            text = f"tested in more than one fold: {len(several):,} of {len(tested):,} {kind}, "
            yield check("sessions", "warning", text + first_few(sorted(several)))
            return
    known = any(place.session or place.dialogue for place in table.places.values())
    yield ok("sessions", "each session is tested in one fold only" if known else "the sessions are unknown")


def _where(case: Case, of: Callable[[Place], str | None]) -> dict[str, set[str]]:
    """Return name -> folds in which it is tested, of the seed in which these are most."""
    folds: dict[tuple[str, str], set[str]] = {}
    table = case.table
    for row in np.flatnonzero(case.tested_N & case.epoch_N).tolist():
        if name := of(table.places[table.key_N[row]]):
            folds.setdefault((name, table.seed_N[row]), set()).add(case.fold_N[row])
    most: dict[str, set[str]] = {}
    for (name, _), its in folds.items():
        most[name] = max(most.get(name, set()), its, key=len)
    return most


def _keys_of(case: Case, of: Callable[[Place], str | None], names: set[str]) -> set[str]:
    return {key for key in case.keys(case.tested_N) if of(case.table.places[key]) in names} if names else set()


def named_splits(case: Case) -> Iterator[Check]:
    """Yield which named split has these utterances by their number in each session (or group) and class."""
    name, gaps = "split", _gaps(case)
    if not gaps:
        yield ok(name, "none of the named splits has such utterances")
        return
    split = NAMED[min(gaps, key=lambda each: gaps[each][0])]
    gap, size, places = gaps[split.name]
    if gap:
        near = gap <= NEAR * size
        text = f"nearest to {split.name}, with {gap:,} utterances more or fewer in its groups and classes"
        yield check(name, "warning", text) if near else ok(name, "none of the named splits has such utterances")
    elif split.rule == "fixed":
        how = "" if places else ", by its counts alone"
        yield ok(name, f"the utterances are those of the test part of {split.name}{how}")
    elif len(set(case.fold_N)) < 2:
        yield check(name, "warning", f"the utterances are those of {split.name}; the file has no folds to compare")
    elif len(places) == len({fold for fold, _ in places}) == len({group for _, group in places}):
        yield ok(name, f"utterances and folds are those of {split.name}")
    else:
        folds = len({fold for fold, _ in places})
        yield check(name, "warning", f"the utterances are those of {split.name}, its {folds} folds are others")


def matching(case: Case) -> NamedSplit | None:
    """Return the named split that has exactly these counts, None without one."""
    return next((NAMED[name] for name, (gap, _, _) in _gaps(case).items() if gap == 0), None)


def _gaps(case: Case) -> dict[str, tuple[int, int, set[tuple[str, str]]]]:
    return {split.name: gap for split in NAMED.values() if (gap := _gap(case, split)) is not None}


def _gap(case: Case, split: NamedSplit) -> tuple[int, int, set[tuple[str, str]]] | None:
    """Return by how many utterances counts differ from a split's, their number there, and pairs of fold and group.

    Names of classes are free: classes are matched by their counts. None if the number of classes differs, or where it
    is unknown which group an utterance is in; a fixed test part is then compared as a whole, without pairs.
    """
    from scipy.optimize import linear_sum_assignment

    size = sum(map(sum, split.counts.values())) if split.rule != "fixed" else sum(split.counts["test"])
    if abs(len(case.row_of) - size) > NEAR * size:
        return None
    groups = {"test": split.counts["test"]} if split.rule == "fixed" else _rotated(split)
    here: dict[str, Counter[int]] = {group: Counter() for group in groups}
    pairs = set[tuple[str, str]]()
    for key, row in case.row_of.items():
        group = _group(case, key, split)
        if group is None and split.rule != "fixed":
            return None
        if group is not None:
            pairs.add((case.fold_N[row], group))
        here.setdefault(group or "test", Counter())[int(case.table.label_N[row])] += 1
    expected_CG = np.array([[numbers[at] for numbers in groups.values()] for at in range(len(split.classes))])
    classes = sorted(set().union(*here.values()))
    if len(classes) != len(expected_CG) or len(here) != len(groups):
        return None
    here_CG = np.array([[here[group][at] for group in groups] for at in classes])
    cost_CC = np.abs(expected_CG[:, None] - here_CG[None]).sum(axis=2)
    rows, columns = linear_sum_assignment(cost_CC)
    return int(cost_CC[rows, columns].sum()), int(expected_CG.sum()), pairs


def _rotated(split: NamedSplit) -> dict[str, tuple[int, ...]]:
    """Return group -> utterances of each class, with those that a split holds out of training."""
    return {
        group: tuple(map(sum, zip(split.counts[group], split.counts.get(group + DEV, (0,) * 99), strict=False)))
        for group in split.groups
    }


def _group(case: Case, key: str, split: NamedSplit) -> str | None:
    """Return an utterance's group in a split without its part that is held out; None where nothing says it."""
    reference, place = case.table.reference, case.table.places[key]
    if reference is not None and key in reference.utterances:
        utterance = reference.utterances[key]
    else:
        if getattr(place, split.of) is None:
            return None
        utterance = Utterance(
            key=key, corpus="", session=place.session or "", dialogue=place.dialogue or "", speaker=place.speaker or "",
            side="whole", start_s=0.0, end_s=1.0, raw_label="", label=None,
        )  # fmt: skip
    try:
        return split.group_of(utterance).removesuffix(DEV)
    except DataError:
        return None
