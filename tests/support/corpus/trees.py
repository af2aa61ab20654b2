"""Small corpus trees in the real layouts, and the params and settings that the stages take.

    root = iemocap_tree(tmp_path / "IEMOCAP_full_release")
    root = iemocap_tree(tmp_path / "tree", dialogues={"Ses01F_impro01": [("F000", "neu"), ("M000", "ang")]})

In `iemocap_tree` no picture is drawn (an AVI is bytes that the test gives), and utterance i of a dialogue is said from
0.5 + i to 1.3 + i seconds. `clips_tree` writes pictures and sound that staging can read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from foalnet.config import Params
from foalnet.core.files import read_json
from foalnet.core.records import Utterance
from foalnet.corpora.inventory import inventory
from foalnet.stages.manifest.build import build, read_manifest
from tests.support.corpus.entries import FOUR_CLASSES, entry_params, make_settings
from tests.support.corpus.videos import FPS, picture, write_avi

Lines = Sequence[tuple[str, str]]
"""Of one dialogue: (suffix such as "F000", raw label such as "neu")."""

RATE_HZ = 16000
HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]"
VOTES = {"neu": "Neutral", "ang": "Anger", "sad": "Sadness", "hap": "Happiness", "exc": "Excited", "fru": "Frustration"}
FOUR: Lines = (("F000", "neu"), ("F001", "hap"), ("M000", "sad"), ("M001", "ang"))
# five sessions, one dialogue each; sessions 1, 3, 5 with the markers on the woman
DIALOGUES: Mapping[str, Lines] = {f"Ses0{n}{'MF'[n % 2]}_impro01": (*FOUR, ("M002", "xxx")) for n in range(1, 6)}


def times_of(index: int) -> tuple[float, float]:
    """Return start and end (s) of a dialogue's utterance."""
    return index + 0.5, index + 1.3


def label_block(key: str, label: str, start_s: float, end_s: float) -> str:
    """Return an utterance's label line with three raters below it, as the corpus writes them."""
    vote = VOTES.get(label, "Other")
    return (
        f"[{start_s:.4f} - {end_s:.4f}]\t{key}\t{label}\t[2.5000, 2.5000, 2.5000]\n"
        f"C-E2:\t{vote};\t()\nC-E3:\t{vote}; Neutral;\t()\nC-F1:\t{vote};\t(a word)\n"
        "A-E3:\tval 3; act 2; dom  2;\t()\nA-F1:\tval 2; act 3; dom  3;\t()\n\n"
    )


def label_text(rows: Sequence[tuple[str, str, float, float]]) -> str:
    """Return a label file for rows (key, raw label, start s, end s)."""
    return f"{HEADER}\n\n" + "".join(label_block(*row) for row in rows)


def transcript_text(rows: Sequence[tuple[str, str, float, float]]) -> str:
    """Return a transcription for rows (key, raw label, start s, end s)."""
    return "".join(f"{key} [{start:08.4f}-{end:08.4f}]: Words of {key}.\n" for key, _, start, end in rows)


def write(path: Path, data: bytes | str) -> Path:
    """Write a file and its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def write_wav(path: Path, length_s: float, *, rate_hz: int = RATE_HZ, seed: int = 0) -> Path:
    """Write a WAV of quiet noise (mono, 16 bit), or what the extension of `path` names."""
    wave_N = np.random.default_rng(seed).normal(0.0, 0.05, round(length_s * rate_hz))
    return write_wave(path, wave_N, rate_hz)


def write_wave(path: Path, wave_N: np.ndarray, rate_hz: int = RATE_HZ) -> Path:
    """Write sound in 16 bit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave_N, rate_hz, subtype="PCM_16")
    return path


def label_file(root: Path, dialogue: str) -> Path:
    """Return the path of a dialogue's label file below a tree's root."""
    return root / f"Session{dialogue[4]}/dialog/EmoEvaluation/{dialogue}.txt"


def sound_file(root: Path, key: str) -> Path:
    """Return the path of an utterance's own WAV below a tree's root."""
    return root / f"Session{key[4]}/sentences/wav/{key[:-5]}/{key}.wav"


def write_words(root: Path, dialogue: str, rows: Sequence[tuple[str, str, float, float]]) -> Path:
    """Write a dialogue's labels and transcription; return the session's folder `dialog`."""
    dialog = root / f"Session{dialogue[4]}" / "dialog"
    write(label_file(root, dialogue), label_text(rows))
    write(dialog / f"transcriptions/{dialogue}.txt", transcript_text(rows))
    return dialog


def iemocap_tree(
    root: Path,
    *,
    dialogues: Mapping[str, Lines] = DIALOGUES,
    sentences: bool = True,
    dialogue_sound: bool = True,
    avi: bytes | None = b"",
    shadows: bool = True,
) -> Path:
    """Write a tree in IEMOCAP's exact layout and return `root` (the folder that holds Session1).

    `avi`: the content of every AVI, None for no AVI at all. `sentences`: write sentences/wav. `dialogue_sound`: write
    dialog/wav. `shadows`: macOS shadow files beside label, sound and picture of each dialogue.
    """
    for dialogue, lines in dialogues.items():
        rows = [(f"{dialogue}_{suffix}", label, *times_of(i)) for i, (suffix, label) in enumerate(lines)]
        dialog = write_words(root, dialogue, rows)
        write(dialog / f"EmoEvaluation/Categorical/{dialogue}_e1_cat.txt", "raters' own files are not read\n")
        if avi is not None:
            write(dialog / f"avi/DivX/{dialogue}.avi", avi)
        if dialogue_sound:
            write_wav(dialog / f"wav/{dialogue}.wav", len(rows) + 1.0, seed=len(rows))
        for i, (key, _, start, end) in enumerate(rows if sentences else ()):
            write_wav(sound_file(root, key), end - start, seed=i)
        if shadows:
            for path in (f"EmoEvaluation/._{dialogue}.txt", f"avi/DivX/._{dialogue}.avi", f"wav/._{dialogue}.wav"):
                write(dialog / path, b"\x00\x05\x16\x07 not a real file")
    return root


# A dialogue with picture and sound: suffix, start, end. Two utterances overlap.
TURNS: tuple[tuple[str, float, float], ...] = (("F000", 0.31, 1.20), ("M000", 1.05, 2.02), ("F001", 2.10, 2.60))
LABELS = ("neu", "ang", "xxx")
CLIPS = ("Ses01F_impro01", "Ses01M_impro02", "Ses02F_script01_1")
CLIP_S = 2.8


def sound(seed: int, seconds: float) -> np.ndarray:
    """Return 16-bit noise as float32, the same for the same seed."""
    rng = np.random.default_rng(seed)
    return (rng.integers(-9000, 9000, round(seconds * RATE_HZ)) / 32768).astype(np.float32)


def clips_tree(root: Path, dialogues: Sequence[str] = CLIPS) -> Path:
    """Write the layout with pictures (`videos.picture`) and sound: utterance t of dialogue d has `sound(10 d + t)`."""
    pictures = [picture(i) for i in range(round(CLIP_S * FPS))]
    for number, dialogue in enumerate(dialogues):
        rows = [
            (f"{dialogue}_{suffix}", label, start_s, end_s)
            for (suffix, start_s, end_s), label in zip(TURNS, LABELS, strict=True)
        ]
        dialog = write_words(root, dialogue, rows)
        write_avi(dialog / f"avi/DivX/{dialogue}.avi", pictures)
        stereo = np.stack([sound(900 + number, CLIP_S), sound(950 + number, CLIP_S)], axis=1)
        write_wave(dialog / f"wav/{dialogue}.wav", stereo)
        for turn, (key, _, start_s, end_s) in enumerate(rows):
            write_wave(sound_file(root, key), sound(10 * number + turn, end_s - start_s))
    return root


def ravdess_tree(root: Path, *, actors: Sequence[int] = (1, 2, 3), table: bool = True, extension: str = "flac") -> Path:
    """Write RAVDESS' layout, four clips an actor (neutral, happy, sad, angry), and a table of three features."""
    rows = ["clip\tau_00\tau_01\tau_02\n"]
    for actor in actors:
        for emotion in (1, 3, 4, 5):
            rest = f"01-{emotion:02d}-01-01-01-{actor:02d}"
            write_wav(root / f"Actor_{actor:02d}/03-{rest}.{extension}", 0.5, seed=actor)
            rows.append(f"01-{rest}\t{emotion}\t{actor}\t0.5\n")
    if table:
        write(root / "action_units.tsv", "".join(rows))
    return root


def make_params(
    *, corpus: str = "iemocap", classes: Mapping[str, list[str]] = FOUR_CLASSES, contract: Any = None,
    max_drop_fraction: float = 0.02, source: str = "data/iemocap.source.json", **entry: Any,
) -> Params:  # fmt: skip
    """Return the params of a corpus outside the project."""
    manifest = {"classes": dict(classes), "contract": contract, "max_drop_fraction": max_drop_fraction}
    return entry_params(corpus, source=source, manifest=manifest, **entry)


def stages(root: Path, **block: Any) -> tuple[list[Utterance], dict[str, int]]:
    """Take inventory and manifest of an IEMOCAP tree, outputs beside it; return utterances and the ledger's counts.

    `block` goes to `make_params`; drops are allowed unless it says otherwise.
    """
    folder, params = root.parent, make_params(**{"max_drop_fraction": 1.0, **block})
    settings = make_settings(folder / "work", {"iemocap": root})
    inventory(params, settings, folder / "inventory.json")
    build(params, settings, folder / "inventory.json", folder / "manifest.jsonl", folder / "counts.json")
    return read_manifest(folder / "manifest.jsonl"), read_json(folder / "counts.json")["ledger"]
