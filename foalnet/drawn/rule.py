"""The rule that distributes the emotion over sound and face, and the best possible scores under it.

There are four equally frequent classes. Each used utterance has one of four kinds, with shares from the params:

=============  =============================  =============================
kind           sound cue                      face cue
=============  =============================  =============================
both           the class                      the class
sound          the class                      blank
face           blank                          the class
interaction    one of two mixed cues, i       one of two mixed cues, j
=============  =============================  =============================

In the interaction kind i and j are independent fair coins, and PAIRS[i xor j] contains the class: one cue alone carries
no information on it, both together determine the pair, and nothing determines the class within the pair.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass

from foalnet.config.draw import Draw

CLASSES = ("happy", "neutral", "sad", "angry")
KINDS = ("both", "sound", "face", "interaction")
BLANK = "blank"
SOUND_MIXED = ("hum", "quaver")
FACE_MIXED = ("pout", "wince")
SOUND_CUES = (*CLASSES, BLANK, *SOUND_MIXED)
FACE_CUES = (*CLASSES, BLANK, *FACE_MIXED)
PAIRS = (("happy", "neutral"), ("sad", "angry"))

# Class -> its raw labels, used in equal parts.
RAW_LABELS = {"happy": ("hap", "exc"), "neutral": ("neu",), "sad": ("sad",), "angry": ("ang",)}
UNUSED_LABELS = ("xxx", "fru")


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Cell:
    """One case of the rule: its kind, its class, and the cues in sound and face."""

    kind: str
    label: str
    sound: str
    face: str


def frequencies(drawn: Iterable[Cell]) -> dict[Cell, float]:
    """Return the share of each case in `drawn`."""
    counts = Counter(drawn)
    return {cell: counts[cell] / counts.total() for cell in sorted(counts)}


def shares(params: Draw) -> dict[str, float]:
    """Return the share of each kind; the params ensure a sum of 1."""
    return {
        "both": params.share_both,
        "sound": params.share_sound,
        "face": params.share_face,
        "interaction": params.share_interaction,
    }


def cells(kind: str) -> list[Cell]:
    """Return the equally probable cases of one kind: 4, or 8 of the interaction kind."""
    if kind != "interaction":
        return [
            Cell(
                kind=kind, label=name, sound=BLANK if kind == "face" else name, face=BLANK if kind == "sound" else name
            )
            for name in CLASSES
        ]
    mixed = []
    for i in range(2):
        for pair, labels in enumerate(PAIRS):
            mixed += [Cell(kind=kind, label=name, sound=SOUND_MIXED[i], face=FACE_MIXED[i ^ pair]) for name in labels]
    return mixed


def joint(params: Draw) -> dict[Cell, float]:
    """Return the probability of every case; the values add up to 1."""
    return {cell: share / len(cells(kind)) for kind, share in shares(params).items() for cell in cells(kind)}


def best_scores(params: Draw) -> dict[str, float]:
    """Return the best UA that a classifier can expect under the rule, by the input that it has.

    `sound`, `picture` and `both`: the Bayes decision on that input. `late_average`: the product of the Bayes posteriors
    of sound and picture divided by the prior; ties are shared. Averaging two classifiers cannot solve the interaction
    kind, so a fusion can gain `both - late_average`. `chance`: 0.25. The classes are equally frequent, so the best UA
    is the best accuracy.

    >>> best_scores(Draw())
    {'sound': 0.7, 'picture': 0.61, 'both': 0.86, 'late_average': 0.79, 'chance': 0.25}
    """
    return scores_of(joint(params))


def scores_of(cases: Mapping[Cell, float]) -> dict[str, float]:
    """Return the scores of `best_scores` for the probabilities of any cases with equally frequent classes."""
    return {
        "sound": bayes(cases, lambda cell: cell.sound),
        "picture": bayes(cases, lambda cell: cell.face),
        "both": bayes(cases, lambda cell: (cell.sound, cell.face)),
        "late_average": late_average(cases),
        "chance": 1.0 / len(CLASSES),
    }


def best_by_kind() -> dict[str, dict[str, float]]:
    """Return kind -> input -> best expected accuracy (inputs as in `best_scores`).

    No cue indicates different classes in different kinds, so the best decision overall is the best on each kind.

    >>> best_by_kind()["interaction"]["both"], best_by_kind()["interaction"]["sound"]
    (0.5, 0.25)
    """
    return {kind: scores_of({cell: 1 / len(cells(kind)) for cell in cells(kind)}) for kind in KINDS}


def own_task_best(cases: Mapping[Cell, float]) -> dict[str, float]:
    """Return the best that Foal-Net's own tasks can expect under the rule (foalnet.evidence.own_tasks).

    `sound_to_picture`, `picture_to_sound`: p@1, where the first of many utterances has the cue that most probably shows
    the same class. `matching`: the Bayes accuracy where own pairs and pairs of two classes are equally frequent.

    >>> own_task_best(joint(Draw()))
    {'sound_to_picture': 0.7, 'picture_to_sound': 0.61, 'matching': 0.86}
    """
    cases = {cell: p for cell, p in cases.items() if p}
    by_sound, by_face = _by_view(cases, lambda cell: cell.sound), _by_view(cases, lambda cell: cell.face)
    prior = {name: sum(p for cell, p in cases.items() if cell.label == name) for name in CLASSES}
    own = {view: sum(by.values()) for view, by in _by_view(cases, lambda cell: (cell.sound, cell.face)).items()}
    differ = sum(prior[one] * prior[other] for one in CLASSES for other in CLASSES if one != other)
    matching = 0.0
    for sound, one in by_sound.items():
        for face, other in by_face.items():
            foreign = sum(p * q for a, p in one.items() for b, q in other.items() if a != b) / differ
            matching += max(own.get((sound, face), 0.0), foreign) / 2
    return {
        "sound_to_picture": _nearest(by_sound, by_face),
        "picture_to_sound": _nearest(by_face, by_sound),
        "matching": round(matching, 9),
    }


def _nearest(
    query: Mapping[Hashable, Mapping[str, float]], candidates: Mapping[Hashable, Mapping[str, float]]
) -> float:
    """Return how often the best cue of the other modality is of the utterance's class."""

    def agree(one: Mapping[str, float], other: Mapping[str, float]) -> float:
        return sum(p * other.get(name, 0.0) for name, p in one.items()) / sum(other.values())

    return round(sum(max(agree(one, other) for other in candidates.values()) for one in query.values()), 9)


def bayes(cases: Mapping[Cell, float], view: Callable[[Cell], Hashable]) -> float:
    """Return the accuracy of the best decision on `view(case)`."""
    return round(sum(max(by_label.values()) for by_label in _by_view(cases, view).values()), 9)


def late_average(cases: Mapping[Cell, float]) -> float:
    """Return the accuracy of the product of both single posteriors; tied classes share a case equally."""
    prior = {name: sum(p for cell, p in cases.items() if cell.label == name) for name in CLASSES}
    by_sound = _by_view(cases, lambda cell: cell.sound)
    by_face = _by_view(cases, lambda cell: cell.face)
    correct = 0.0
    for cell, probability in cases.items():
        votes = {
            name: by_sound[cell.sound].get(name, 0.0) * by_face[cell.face].get(name, 0.0) / (prior[name] or 1.0)
            for name in CLASSES
        }
        top = max(votes.values())
        winners = [name for name, vote in votes.items() if vote > top - 1e-12]
        correct += probability / len(winners) if cell.label in winners else 0.0
    return round(correct, 9)


def _by_view(cases: Mapping[Cell, float], view: Callable[[Cell], Hashable]) -> dict[Hashable, dict[str, float]]:
    table: dict[Hashable, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for cell, probability in cases.items():
        table[view(cell)][cell.label] += probability
    return table
