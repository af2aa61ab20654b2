"""Checks the options of `add-corpus` against the root and the project, before anything is written."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foalnet.config.load import (
    DEFAULT_PARAMS,
    DRAWN,
    check_name,
    merge,
    read_file,
)
from foalnet.config.presets import Preset, preset_for
from foalnet.config.variants import MAIN_VARIANTS, Variant
from foalnet.core.errors import MachineError, UsageError, reason
from foalnet.core.faults import fault_of

PICTURES = ("video", "features")
SOUNDS = ("video", "audio", "dialogue_audio")
# Params of a corpus without pictures: no features of pictures.
SOUND_ALONE = {"train": {"picture": "face"}, "features": {"encoder": None}}
# Params of a corpus with video where the reader's preset expects a table of features.
WITH_VIDEO = {"train": {"picture": "face", "frame_step": 6, "video": {"encoder": "crop_cnn"}}}


@dataclass(frozen=True, kw_only=True, slots=True)
class NewEntry:
    """The checked options of `add-corpus`."""

    reader: str
    root: Path
    table: str | None
    name: str
    classes: dict[str, list[str]]
    variants: list[str]
    seeds: list[int]
    epochs: int | None
    preset: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    @classmethod
    def parse(
        cls,
        *,
        reader: str,
        root: str,
        table: str | None,
        name: str | None,
        classes: str | None,
        variants: str | None,
        seeds: str | None,
        epochs: int | None,
        preset: str | None,
    ) -> NewEntry:
        """Check every option before anything is written (UsageError, exit 2; MachineError, exit 4, for the root)."""
        from foalnet.corpora import get_reader
        from foalnet.corpora.inventory import survey, unused_lines
        from foalnet.stages.inventory import absent_parts
        from foalnet.stages.manifest.build import check_classes

        folder = folder_of(root)
        table = table_below(folder, table) if table is not None else None
        kind = get_reader(reader, table=table)
        name = name or reader
        check_name(name)
        given = preset_for(preset, reader) if preset else Preset(reader=reader, what="")
        usual = classes in (None, "all")
        classes = given.classes if classes is None else classes
        variants = given.variants if variants is None else variants
        if name == DRAWN:
            what = f"'{DRAWN}' is the corpus that `foalnet draw` draws: no other entry may have this name"
            raise UsageError(what, file=DEFAULT_PARAMS, action="give another name: --name NAME")
        # Only the reader `table` learns the labels from the root.
        top = kind.check_root(folder) if not kind.class_presets else None
        chosen = parse_classes(classes, kind.class_presets, kind.default_classes)
        check_classes(chosen, kind, action="correct --classes")
        listed = survey(top or kind.check_root(folder), kind)
        pictured = any(role in PICTURES for role in listed.roles.values())
        heard = any(role in SOUNDS for role in listed.roles.values())
        base = merge(kind.entry_preset, given.entry)
        base = fitted(base, listed.roles.values(), usual=usual)
        notes = [*absent_parts(listed.roles, kind), *unused_lines(listed.ignored(), listed.named())]
        notes += getattr(kind, "notes", [])
        if not heard and not pictured:
            notes.append("neither sound nor pictures here: only text_only is trained")
        elif not pictured:
            notes.append("no pictures here (neither video nor a table of features): only audio_only is trained")
        return cls(
            reader=reader,
            root=folder,
            table=table,
            name=name,
            classes=chosen,
            variants=variants_of(variants, read_file().variants, pictured=pictured, heard=heard),
            seeds=seeds_of(seeds) if seeds else base.get("seeds", [1]),
            epochs=epochs,
            preset=base,
            notes=notes,
        )


def seeds_of(text: str) -> list[int]:
    """Return the numbers of --seeds, each once (UsageError, exit 2)."""
    try:
        return list(dict.fromkeys(int(seed) for seed in text.split(",")))
    except ValueError as error:
        raise UsageError(f"--seeds needs whole numbers, got '{text}'", action="for example --seeds 1,2,3") from error


def fitted(entry: dict[str, Any], roles: Collection[str], *, usual: bool) -> dict[str, Any]:
    """Return the blocks of an entry for a corpus with files of these roles: without pictures, or with video alone.

    `usual`: the reader's own classes were chosen; with others a named split of its preset gives way to speakers.
    """
    if not usual and (entry.get("train") or {}).get("fold_by") not in (None, "session", "speaker"):
        entry = merge(entry, {"train": {"fold_by": "speaker"}})
    if not any(role in PICTURES for role in roles):
        return merge(entry, SOUND_ALONE)
    return merge(entry, WITH_VIDEO) if "features" not in roles and reads_a_table(entry) else entry


def reads_a_table(entry: Mapping[str, Any]) -> bool:
    """Return whether an entry takes its pictures from the corpus' own table of features."""
    encoder = (entry.get("features") or {}).get("encoder")
    return encoder is None and (entry.get("train") or {}).get("picture") == "features"


def table_below(root: Path, table: str) -> str:
    """Return the path of a table relative to the root; UsageError (exit 2) if it is not a file below it."""
    for place in (Path(table).expanduser(), root / table):
        if place.is_file() and place.resolve().is_relative_to(root):
            return place.resolve().relative_to(root).as_posix()
    there = "is outside of the root" if Path(table).expanduser().is_file() else "is not a file"
    raise UsageError(f"the table {there}", file=table, action=f"put the table into {root}, next to what it names")


def folder_of(root: str) -> Path:
    """Return the folder that --root names (MachineError, exit 4, where it does not exist).

    UsageError (exit 2) for a name that is not UTF-8: settings.yaml is text and could not hold it.
    """
    try:
        folder = Path(root).expanduser().resolve()
        there = folder.is_dir()
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            "the corpus root's name is not UTF-8", file=root, action="make a link to it with a plain name and give that"
        ) from error
    except (OSError, RuntimeError) as error:
        raise fault_of(error) or MachineError(
            f"the corpus root cannot be found: {reason(error)}", file=root, action="mount it, or correct --root"
        ) from error
    if not there:
        raise MachineError("the corpus root is not a folder", file=folder, action="mount it, or correct --root")
    return folder


def variants_of(text: str | None, known: Mapping[str, Variant], *, pictured: bool, heard: bool) -> list[str]:
    """Return the checked variants of --variants (UsageError, exit 2); by default those that the corpus can train."""
    if text is None:
        return list(MAIN_VARIANTS) if pictured else ["audio_only"] if heard else ["text_only"]
    names = list(dict.fromkeys(v.strip() for v in text.split(",") if v.strip()))
    if not names:
        raise UsageError("an entry needs at least one variant", action=f"--variants {','.join(known)}")
    for variant in names:
        if variant not in known:
            raise UsageError(f"no variant '{variant}'; valid: {', '.join(known)}", action="correct --variants")
    seeing = [variant for variant in names if "video" in known[variant].inputs]
    if seeing and not pictured:
        raise UsageError(
            f"{', '.join(seeing)}: no pictures here; the root holds neither readable video nor a table of features",
            action="--variants audio_only, or add the pictures first",
        )
    hearing = [variant for variant in names if "audio" in known[variant].inputs]
    if hearing and not heard:
        raise UsageError(
            f"{', '.join(hearing)}: no sound here", action="--variants text_only, or add the sound or clips first"
        )
    return names


def parse_classes(text: str | None, presets: dict[str, list[str]], default: list[str]) -> dict[str, list[str]]:
    """Parse "neutral,happy=hap+exc" into class -> raw labels; a name without `=` takes its labels from the presets."""
    named = default if text is None else presets if text == "all" else ()
    classes = {label: list(presets[label]) for label in named}
    for item in () if named else (w.strip() for w in (text or "").split(",")):
        label, _, raws = item.partition("=")
        if not raws and label not in presets:
            raise UsageError(
                f"no class '{label}'; this reader has {', '.join(presets)}",
                action="correct --classes, or spell the raw labels: name=raw1+raw2",
            )
        if label in classes:
            raise UsageError(f"class '{label}' is named twice", action="correct --classes")
        classes[label] = raws.split("+") if raws else list(presets[label])
    if len(classes) < 2:
        raise UsageError("an experiment needs at least two classes", action="correct --classes")
    return classes
