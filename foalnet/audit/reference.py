"""The reference of an audit: what a manifest says of each utterance, or what the names of known corpora say."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from foalnet.artifact.seal import keyed_rows
from foalnet.artifact.table import digest_file, read_manifest
from foalnet.audit.read import MOST_BYTES
from foalnet.config import load_params
from foalnet.core.errors import DataError, MachineError, UsageError, reason
from foalnet.core.files import read_plain
from foalnet.core.labels import class_of
from foalnet.core.paths import Paths
from foalnet.core.records import Utterance
from foalnet.corpora.base import stem
from foalnet.corpora.iemocap.names import parse_name, session_of
from foalnet.corpora.named import NAMED, NamedSplit, keys_tested, named_split

# Endings that are of a file and no part of a key.
ENDING = re.compile(
    r"\.(wav|flac|mp3|m4a|ogg|opus|mp4|avi|mov|mkv|webm|flv|npy|npz|pt|pth|pkl|json|txt|jpg|png|csv)$", re.I
)
_RAVDESS = re.compile(r"(?:0[123]-)?0[12](?:-\d{2}){4}-(\d{2})")
# The name of a recording without its modality.
_RAVDESS_REST = re.compile(r"0[123]-(0[12](?:-\d{2}){5})")
_CREMAD = re.compile(r"(1[01]\d\d)_[A-Z]{3}_[A-Z]{3}_[A-Z]{2}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where an utterance is: its session, dialogue and speaker; None where nothing says so."""

    session: str | None = None
    dialogue: str | None = None
    speaker: str | None = None


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A manifest: its utterances by key, its classes in order (None: no order is known), raw label -> class.

    `tested`: the keys that the corpus' own split tests; None if that is all that are used.
    """

    name: str
    utterances: Mapping[str, Utterance]
    order: tuple[str, ...] | None
    classes: tuple[str, ...]
    class_of: Mapping[str, str]
    tested: frozenset[str] | None = None

    @cached_property
    def used(self) -> dict[str, Utterance]:
        """The utterances with a class."""
        return {key: each for key, each in self.utterances.items() if each.used}

    @cached_property
    def by_name(self) -> dict[str, str]:
        """Lower-case key or name of a media file -> key; names of several utterances are left out."""
        names: dict[str, set[str]] = {}
        for key, each in self.utterances.items():
            files = [stem(path) for path in (each.audio, each.video) if path]
            files += [key.removeprefix("test_")] if each.session == "test" else []
            files += [match[1]] if (match := _RAVDESS_REST.fullmatch(key)) else []
            for name in (key, *files):
                names.setdefault(name.casefold(), set()).add(key)
        exact = {key.casefold(): key for key in self.utterances}
        return {name: min(keys) for name, keys in names.items() if len(keys) == 1} | exact

    def key_of(self, name: str) -> str | None:
        """Return the key that a key or file name of a table means; None if it means none."""
        if name in self.utterances:
            return name
        short = bare(name).casefold()
        rest = _RAVDESS_REST.fullmatch(short)
        return self.by_name.get(short) or (self.by_name.get(rest[1]) if rest else None)


def bare(name: str) -> str:
    """Return a file name without its folders and its ending.

    >>> bare("a\\\\b/Ses01F_impro01_F000.wav"), bare("v1.2")
    ('Ses01F_impro01_F000', 'v1.2')
    """
    return ENDING.sub("", name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1])


def keys_by_themselves(names: Sequence[str]) -> list[str]:
    """Return keys without folders and endings, unless two utterances would then have the same key.

    >>> keys_by_themselves(["x/1.wav", "x/2.wav"]), keys_by_themselves(["x/1.wav", "y/1.wav"])
    (['1', '2'], ['x/1.wav', 'y/1.wav'])
    """
    short = {name: bare(name) for name in set(names)}
    return [short[name] for name in names] if len(set(short.values())) == len(short) else list(names)


def place_of(key: str) -> Place:
    """Return what a key of IEMOCAP, RAVDESS or CREMA-D says.

    >>> place_of("Ses01F_impro01_M003").speaker, place_of("03-01-05-01-02-01-12").speaker, place_of("a").speaker
    ('Ses01M', 'Actor_12', None)
    """
    if name := parse_name(key):
        return Place(session=session_of(name.dialogue), dialogue=name.dialogue, speaker=name.speaker)
    if match := _RAVDESS.fullmatch(key):
        return Place(speaker=f"Actor_{match[1]}")
    return Place(speaker=match[1]) if (match := _CREMAD.fullmatch(key)) else Place()


def of_corpus(corpus: str) -> Reference:
    """Return the manifest of a corpus of params.yaml, with the order of its classes."""
    params = load_params(corpus)
    utterances = read_manifest(Paths(corpus).manifest, corpus=corpus)
    raw, order = class_of(params.manifest.classes), tuple(params.manifest.classes)
    used = [each for each in utterances if each.used]
    named = named_split(params)
    return Reference(
        name=f"corpus {corpus}",
        utterances={each.key: each for each in utterances},
        order=order,
        classes=order,
        class_of=raw,
        tested=frozenset(keys_tested(params, used)) if named is not None and named.rule == "fixed" else None,
    )


def of_file(file: Path) -> Reference:
    """Return a manifest.jsonl of foalnet; its digest is checked where manifest.sha256 is in its folder.

    The file has classes but not their order. DataError (exit 3) if it is no manifest.
    """
    if not file.exists():
        raise UsageError("file not found", file=file, action="correct the name after --manifest")
    try:
        utterances = (
            read_manifest(file)
            if digest_file(file).is_file()
            else keyed_rows(Utterance, read_plain(file, MOST_BYTES), file, again="manifest")
        )
    except UnicodeDecodeError as error:
        raise DataError(f"it is no manifest: {reason(error)}", file=file, action="give a manifest.jsonl") from error
    except OSError as error:
        raise MachineError(reason(error), file=file, action="give a plain manifest.jsonl after --manifest") from error
    raw = {each.raw_label: each.label for each in utterances if each.label is not None}
    classes = tuple(sorted(set(raw.values())))
    if not classes:
        raise DataError("no utterance of this manifest has a class", file=file, action="give a manifest with classes")
    return Reference(
        name=file.name, utterances={each.key: each for each in utterances}, order=None, classes=classes, class_of=raw
    )


def fixed_split(reference: Reference, keys: Collection[str]) -> NamedSplit | None:
    """Return the named split with a fixed test part that a manifest fits and that keys are of, all but 5 % of them."""
    raws = {frozenset(r for r, c in reference.class_of.items() if c == name) for name in reference.classes}
    for split in NAMED.values():
        if split.rule == "fixed" and {frozenset(of) for of in split.classes.values()} == raws:
            part = tested_by(split, reference)
            if part and keys and len(part & set(keys)) >= 0.95 * len(keys):
                return split
    return None


def tested_by(split: NamedSplit, reference: Reference) -> frozenset[str]:
    """Return the keys that a split with a fixed test part tests; empty if an utterance is in none of its parts."""
    try:
        return frozenset(key for key, each in reference.used.items() if split.group_of(each) == "test")
    except DataError:
        return frozenset()
