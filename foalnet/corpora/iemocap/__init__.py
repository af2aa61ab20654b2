"""Reads IEMOCAP as downloaded (`Session1/dialog/EmoEvaluation/…`) and never changes it.

Source: Busso et al., "IEMOCAP: interactive emotional dyadic motion capture database", 2008. The letter in a dialogue's
name is that of the actor with the markers. The speaker is the session and the letter of the utterance's own suffix.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from foalnet.config.blocks import Contract
from foalnet.core.ledger import Ledger
from foalnet.core.records import Utterance
from foalnet.corpora.base import find_root, read_corpus_file
from foalnet.corpora.iemocap.names import Name, is_session, name_of, role_of, session_of, stem_of
from foalnet.corpora.iemocap.text import LabelLine, decode, parse_labels, parse_transcript

# Counts of the published corpus; used are hap + exc, neu, sad, ang.
PUBLISHED = Contract(
    dialogues={"Session1": 28, "Session2": 30, "Session3": 32, "Session4": 30, "Session5": 31},
    utterances=10039,
    raw_labels={
        "ang": 1103,
        "dis": 2,
        "exc": 1041,
        "fea": 40,
        "fru": 1849,
        "hap": 595,
        "neu": 1708,
        "oth": 3,
        "sad": 1084,
        "sur": 107,
        "xxx": 2507,
    },
    classes={"happy": 1636, "neutral": 1708, "sad": 1084, "angry": 1103},
    used_by_session={"Session1": 1085, "Session2": 1023, "Session3": 1151, "Session4": 1031, "Session5": 1241},
)


class Iemocap:
    """Reads the licensed corpus, and any folder with its exact layout."""

    name = "iemocap"
    layout = "Session1 … Session5 with dialog/EmoEvaluation/Ses01F_impro01.txt and sentences/wav or dialog/wav"
    side_rule = "the actor whose letter is in the dialogue's name (with the markers) sits left, the other right"
    licence = (
        "IEMOCAP is given out by USC SAIL on a signed release form, for research by those who signed; it must not be "
        "passed on. Ask USC before this model, which was learned from it, leaves your institution."
    )
    class_presets: dict[str, list[str]] = {  # noqa: RUF012 - the protocol's plain attribute
        "happy": ["hap", "exc"],
        "neutral": ["neu"],
        "sad": ["sad"],
        "angry": ["ang"],
        "frustrated": ["fru"],
        "surprised": ["sur"],
        "fearful": ["fea"],
        "disgusted": ["dis"],
        "other": ["oth"],
    }
    default_classes: list[str] = ["happy", "neutral", "sad", "angry"]  # noqa: RUF012
    entry_preset: dict[str, Any] = {"contract": "published"}  # noqa: RUF012
    published: Contract | None = PUBLISHED
    needs: tuple[str, ...] = ("labels",)
    reads: tuple[str, ...] = ("labels", "transcript")

    def check_root(self, root: Path) -> Path:
        """Return the folder that contains Session1 … Session5: `root` or a folder in it (see `Reader.check_root`)."""
        return find_root(root, is_session, self.layout)

    def wanted(self, path: str) -> str | None:
        """Return the role of a path relative to the folder that contains Session1 (see `Reader.wanted`)."""
        return role_of(path)

    def utterances(self, root: Path, files: Mapping[str, str], ledger: Ledger) -> list[Utterance]:
        """Return one Utterance per labelled key, sorted; `ledger` receives everything lost or missing."""
        paths: dict[str, dict[str, str]] = defaultdict(dict)
        for path in sorted(files):
            paths[files[path]][stem_of(path)] = path
        lines: dict[str, list[LabelLine]] = defaultdict(list)
        for dialogue, path in paths["labels"].items():
            text = decode(read_corpus_file(root / path), path, ledger)
            for line in parse_labels(text, path, dialogue, ledger):
                lines[line.key].append(line)
        spoken: dict[str, str] = {}
        for path in paths["transcript"].values():
            spoken |= parse_transcript(decode(read_corpus_file(root / path), path, ledger), path, ledger)
        _name_missing(lines, paths, spoken, ledger)
        place = {key: turn for turn, key in enumerate(spoken)}
        return [replace(_utterance(lines[key], paths, spoken, ledger), turn=place.get(key)) for key in sorted(lines)]


def _utterance(
    lines: list[LabelLine], paths: Mapping[str, dict[str, str]], spoken: Mapping[str, str], ledger: Ledger
) -> Utterance:
    line, name = lines[0], name_of(lines[0].key)
    audio, dialogue_audio = paths["audio"].get(line.key), paths["dialogue_audio"].get(name.dialogue)
    video = paths["video"].get(name.dialogue)
    reason = _unusable(lines, has_sound=bool(audio or dialogue_audio), ledger=ledger)
    if reason is None and video is None:
        ledger.keep(line.key, "video_missing", "the dialogue has no AVI")
    if line.key not in spoken:
        ledger.keep(line.key, "transcript_missing")
    return Utterance(
        key=line.key,
        corpus=Iemocap.name,
        session=session_of(name.dialogue),
        dialogue=name.dialogue,
        speaker=name.speaker,
        side=name.side,
        start_s=line.start_s,
        end_s=line.end_s,
        raw_label=line.raw_label,
        label=None,
        reason=reason,
        valence=line.valence,
        activation=line.activation,
        dominance=line.dominance,
        votes=line.votes,
        transcript=spoken.get(line.key),
        audio=audio,
        dialogue_audio=dialogue_audio,
        video=video,
    )


def _unusable(lines: list[LabelLine], *, has_sound: bool, ledger: Ledger) -> str | None:
    """Return why an utterance cannot be used, None if it can; records the reason and repairs in the ledger."""
    key, places = lines[0].key, ", ".join(str(line.line) for line in lines)
    if len(lines) > 1 and any(line != lines[0] for line in lines):
        ledger.drop(key, "duplicate_label_conflict", f"lines {places} of its label file")
        return "duplicate_label_conflict"
    if len(lines) > 1:
        ledger.repair(key, "duplicate_label", f"lines {places} of its label file")
    if not has_sound:
        ledger.drop(key, "wav_missing")
        return "wav_missing"
    return None


def _name_missing(
    lines: Iterable[str], paths: Mapping[str, dict[str, str]], spoken: Iterable[str], ledger: Ledger
) -> None:
    """Record dialogues without a label file, and utterances without a label line, for which other files are evidence.

    An actor's numbers in a dialogue start at 000 without gaps (true of all 10,039), so a gap is evidence too.
    """
    traces: dict[str, set[str]] = defaultdict(set)
    for role in ("dialogue_audio", "video"):
        for dialogue in paths[role]:
            traces[dialogue].add(role)
    evidence: dict[str, list[str]] = defaultdict(list)
    for what, keys in (("a sound file", paths["audio"]), ("a transcript line", spoken)):
        for key in keys:
            evidence[key].append(what)
    for key in _skipped({*lines, *evidence}):
        evidence[key].append("a skipped number")
    known = {*lines, *(entry.item for entry in ledger.entries if entry.reason == "label_unparsed")}
    for key in sorted(evidence):
        dialogue = name_of(key).dialogue
        if dialogue not in paths["labels"]:
            traces[dialogue].add("utterances")
        elif key not in known:
            ledger.drop(key, "label_missing", f"shown by {', '.join(evidence[key])}")
    for dialogue in sorted(set(traces) - set(paths["labels"])):
        ledger.drop(dialogue, "dialogue_unlabelled", f"shown by {', '.join(sorted(traces[dialogue]))}")


def _skipped(keys: Iterable[str]) -> list[str]:
    """Return the keys of the gaps in each actor's numbers in a dialogue, below the highest number."""
    numbers: dict[tuple[str, str], set[int]] = defaultdict(set)
    for key in keys:
        name = name_of(key)
        numbers[name.dialogue, name.letter].add(name.number)
    return [
        Name(dialogue=dialogue, letter=letter, number=number).key
        for (dialogue, letter), there in numbers.items()
        for number in range(max(there))
        if number not in there
    ]
