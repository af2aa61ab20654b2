"""Named splits of published work, each with a digest: which classes, who trains, chooses and is tested, how many."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

from foalnet.config import Params
from foalnet.config.blocks import Split
from foalnet.core.errors import DataError, UsageError
from foalnet.core.files import content_key, sha256_bytes
from foalnet.core.records import Utterance
from foalnet.corpora.splits import SPLITS, Fold, groups_of

# Appended to the name of a group for its utterances of the dev part (rule held_out).
DEV = "-dev"


@dataclass(frozen=True, kw_only=True)
class NamedSplit:
    """A split of published work. All of it is data, so that `digest` covers the whole definition.

    `classes`: class -> raw labels; their names are free, a corpus must have the same sets of raw labels. `groups`:
    group -> regular expression; an utterance belongs to the first one that matches all of its field `of`.

    `rule`: "rotation": each group is tested in turn, as where `train.fold_by` is session. "fixed": one fold, of the
    groups train, dev and test. "held_out": each group is tested in turn, and `dev_share` of the utterances of all
    others are the dev part; a digest of split and key chooses them, whatever other utterances there are.

    `counts`: group -> utterances of each class, in the order of `classes`. `apart`: whether the speakers of a test
    part are absent from its training part.
    """

    name: str
    reader: str
    source: str
    classes: Mapping[str, tuple[str, ...]]
    of: Literal["session", "dialogue", "speaker"]
    groups: Mapping[str, str]
    rule: Literal["rotation", "fixed", "held_out"]
    counts: Mapping[str, tuple[int, ...]]
    dev_share: float = 0.0
    apart: bool = True

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the definition."""
        return content_key(asdict(self))

    def group_of(self, utterance: Utterance) -> str:
        """Return an utterance's group; DataError (exit 3) if it is in none."""
        value = getattr(utterance, self.of)
        group = next((name for name, pattern in self.groups.items() if re.fullmatch(pattern, value)), None)
        if group is None:
            raise DataError(
                f"{self.of} {value} is in no part of the split {self.name}",
                utterance=utterance.key,
                action="set train.fold_by to session or speaker, or take the utterance out of the corpus",
            )
        drawn = int(sha256_bytes(f"{self.name} {utterance.key}".encode())[:8], 16) / 16**8
        return group + DEV if drawn < self.dev_share else group

    def folds(self, split: Split) -> list[Fold]:
        """Return the folds; in the split `four` the dev part trains too."""
        if self.rule == "rotation":
            return SPLITS[split](self.groups)
        if self.rule == "fixed":
            return [_fold("test", ["train"], ["dev"], ["test"], split)]
        return [
            _fold(tested, others, [name + DEV for name in others], [tested, tested + DEV], split)
            for tested in self.groups
            for others in ([name for name in self.groups if name != tested],)
        ]


def _fold(name: str, train: list[str], dev: list[str], test: list[str], split: Split) -> Fold:
    if split == "four":
        train, dev = train + dev, []
    return Fold(name=name, train=tuple(train), dev=tuple(dev), test=tuple(test))


_SESSIONS = {f"Session{number}": f"Session{number}" for number in range(1, 6)}
_ACTORS = ((2, 5, 14, 15, 16), (3, 6, 7, 13, 18), (10, 11, 12, 19, 20), (8, 17, 21, 23, 24), (1, 4, 9, 22))
_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")

_TABLE = (
    NamedSplit(
        name="iemocap4-loso",
        reader="iemocap",
        source="Foal-Net (Li and others, Interspeech 2024) and most work on four classes: leave one session out",
        classes={"happy": ("hap", "exc"), "neutral": ("neu",), "sad": ("sad",), "angry": ("ang",)},
        of="session",
        groups=_SESSIONS,
        rule="rotation",
        counts={
            "Session1": (278, 384, 194, 229),
            "Session2": (327, 362, 197, 137),
            "Session3": (286, 320, 305, 240),
            "Session4": (303, 258, 143, 327),
            "Session5": (442, 384, 245, 170),
        },
    ),
    # Tested speakers do not train; those of Session4 are in train and dev. The list is that of the published data of
    # EmoBERTa; its counts are those that M2FNet prints.
    NamedSplit(
        name="iemocap6-erc-100-20-31",
        reader="iemocap",
        source="EmoBERTa (Kim and Vossen, arXiv 2108.12009); counts of M2FNet (arXiv 2206.02187), table 1",
        classes={
            "happy": ("hap",),
            "sad": ("sad",),
            "neutral": ("neu",),
            "angry": ("ang",),
            "excited": ("exc",),
            "frustrated": ("fru",),
        },
        of="dialogue",
        groups={
            "train": "Ses0[123].*|Ses04F_(impro0[1-8]|script01_[12])",
            "dev": "Ses04F_script(01_3|0[23]_[12])|Ses04M_(impro0[1-8]|script01_[123]|script0[23]_[12])",
            "test": "Ses05.*",
        },
        rule="fixed",
        counts={
            "train": (392, 739, 1167, 711, 620, 1149),
            "dev": (60, 100, 157, 222, 122, 319),
            "test": (143, 245, 384, 170, 299, 381),
        },
    ),
    # The authors draw 5 % of the training utterances at random for validation; which ones is not published.
    NamedSplit(
        name="gban-4490",
        reader="iemocap",
        source="GBAN (Liu, Li and Meng, arXiv 2201.06309): happy without excited, 5 folds by session, 5 % validation",
        classes={"happy": ("hap",), "neutral": ("neu",), "sad": ("sad",), "angry": ("ang",)},
        of="session",
        groups=_SESSIONS,
        rule="held_out",
        dev_share=0.05,
        counts={
            "Session1": (129, 362, 188, 217),
            "Session1-dev": (6, 22, 6, 12),
            "Session2": (110, 340, 187, 130),
            "Session2-dev": (7, 22, 10, 7),
            "Session3": (132, 303, 293, 224),
            "Session3-dev": (3, 17, 12, 16),
            "Session4": (63, 250, 136, 311),
            "Session4-dev": (2, 8, 7, 16),
            "Session5": (135, 370, 237, 160),
            "Session5-dev": (8, 14, 8, 10),
        },
    ),
    NamedSplit(
        name="meld-official",
        reader="meld",
        source="MELD (Poria and others, ACL 2019, arXiv 1810.02508): the parts of its three files",
        classes={name: (name,) for name in ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")},
        of="session",
        groups={"train": "train", "dev": "dev", "test": "test"},
        rule="fixed",
        apart=False,
        counts={
            "train": (4710, 1205, 268, 683, 1743, 271, 1109),
            "dev": (470, 150, 40, 111, 163, 22, 153),
            "test": (1256, 281, 50, 208, 402, 68, 345),
        },
    ),
    NamedSplit(
        name="ravdess-luna5",
        reader="ravdess",
        source="Luna-Jiménez and others (Sensors 2021, 21(22), 7665): 5 folds of actors",
        classes={emotion: (emotion,) for emotion in _EMOTIONS},
        of="speaker",
        groups={
            f"fold{number}": "|".join(f"Actor_{actor:02d}" for actor in actors) for number, actors in enumerate(_ACTORS)
        },
        rule="rotation",
        counts={
            f"fold{number}": tuple(len(actors) * (4 if emotion == "neutral" else 8) for emotion in _EMOTIONS)
            for number, actors in enumerate(_ACTORS)
        },
    ),
)
NAMED = {split.name: split for split in _TABLE}


def named_split(params: Params, fold_by: str | None = None) -> NamedSplit | None:
    """Return the named split that `fold_by` (default: `train.fold_by`) chooses; None for session and speaker.

    UsageError (exit 2) if it belongs to another reader or to other classes than the corpus has.
    """
    split = NAMED.get(fold_by or params.train.fold_by)
    if split is None:
        return None
    where = f"params.yaml (corpora.{params.corpus})"
    if split.reader != params.reader:
        fitting = [one.name for one in NAMED.values() if one.reader == params.reader]
        raise UsageError(
            f"the split {split.name} is of corpora of the reader {split.reader}; {params.corpus} has the reader "
            f"{params.reader}",
            file=where,
            action=f"set train.fold_by to one of {', '.join(['session', 'speaker', *fitting])}",
        )
    if set(map(frozenset, split.classes.values())) != set(map(frozenset, params.manifest.classes.values())):
        raise UsageError(
            f"the split {split.name} has the classes {flow(split.classes)}; manifest.classes of {params.corpus} is "
            f"{flow(params.manifest.classes)}",
            file=where,
            action="set manifest.classes to the split's, or train.fold_by to session or speaker",
        )
    return split


def flow(classes: Mapping[str, Sequence[str]]) -> str:
    """Return classes as params.yaml spells them in one line.

    >>> flow({"happy": ["hap", "exc"], "sad": ["sad"]})
    '{happy: [hap, exc], sad: [sad]}'
    """
    each = (f"{name}: [{', '.join(raws)}]" for name, raws in classes.items())
    return f"{{{', '.join(each)}}}"


def folds_of(
    params: Params, utterances: Sequence[Utterance], split: Split, *, fold_by: str | None = None
) -> tuple[dict[str, str], list[Fold]]:
    """Return utterance key -> group, and the folds of these groups, as `fold_by` (default: `train.fold_by`) says.

    UsageError (exit 2) as `named_split`. DataError (exit 3) if an utterance is in no group, if the groups are too few,
    or if a speaker who must not trains and is tested.
    """
    named = named_split(params, fold_by)
    if named is None:
        groups = groups_of(utterances, fold_by or params.train.fold_by)
        return groups, SPLITS[split](groups.values())
    groups, folds = {u.key: named.group_of(u) for u in utterances}, named.folds(split)
    for fold, _, shared in speakers_of(folds, groups, utterances) if named.apart else ():
        if shared:
            raise DataError(
                f"fold {fold.name} of the split {named.name}: {', '.join(sorted(shared))} trains and is tested",
                action="correct the speakers in the corpus, or set train.fold_by to speaker",
            )
    return groups, folds


def speakers_of(
    folds: Iterable[Fold], groups: Mapping[str, str], utterances: Iterable[Utterance]
) -> Iterator[tuple[Fold, set[str], set[str]]]:
    """Yield each fold with the speakers of its test part, and those of them who are in its training part too."""
    by_group: dict[str, set[str]] = {}
    for utterance in utterances:
        by_group.setdefault(groups[utterance.key], set()).add(utterance.speaker)
    for fold in folds:
        train, test = (set().union(*(by_group.get(group, set()) for group in part)) for part in (fold.train, fold.test))
        yield fold, test, test & train


def differences(named: NamedSplit, params: Params, utterances: Iterable[Utterance]) -> list[str]:
    """Return a line for each count of the split that a corpus' used utterances differ from."""
    label_of = {frozenset(raws): label for label, raws in params.manifest.classes.items()}
    labels = [label_of[frozenset(raws)] for raws in named.classes.values()]
    here = Counter((named.group_of(u), str(u.label)) for u in utterances)
    return [
        f"{group} {label}: {number} expected, {here[group, label]} here"
        for group, numbers in named.counts.items()
        for label, number in zip(labels, numbers, strict=True)
        if here[group, label] != number
    ]


def record_of(params: Params, utterances: Sequence[Utterance], split: Split) -> dict[str, Any] | None:
    """Return what a run's train.json says of its named split; None for session and speaker.

    `test_speakers_in_training` counts the speakers who train in a fold that tests them, `test_utterances_in_training`
    their tested utterances.
    """
    named = named_split(params)
    if named is None:
        return None
    groups, folds = folds_of(params, utterances, split)
    of_fold = [(set(fold.test), test, shared) for fold, test, shared in speakers_of(folds, groups, utterances)]
    return {
        "name": named.name,
        "digest": named.digest,
        "source": named.source,
        "rule": named.rule,
        "test_speakers": len(set().union(*(test for _, test, _ in of_fold))),
        "test_speakers_in_training": len(set().union(*(shared for _, _, shared in of_fold))),
        "test_utterances_in_training": sum(
            groups[u.key] in tested and u.speaker in shared for tested, _, shared in of_fold for u in utterances
        ),
        "counts_differ": differences(named, params, utterances),
    }


def cluster_of(params: Params) -> Literal["speaker", "dialogue"]:
    """Return the unit over which intervals are computed: what the folds keep together, where they are of speakers."""
    named = named_split(params)
    by_speaker = params.train.fold_by == "speaker" if named is None else named.of == "speaker"
    return "speaker" if by_speaker else "dialogue"


def keys_tested(params: Params, utterances: Sequence[Utterance]) -> set[str]:
    """Return the keys that some fold tests: all, but for a split with a fixed test part."""
    named = named_split(params)
    if named is None or named.rule != "fixed":
        return {u.key for u in utterances}
    return {u.key for u in utterances if named.group_of(u) == "test"}
