"""Hostile label files, transcripts, tables and params, and the invariants of accepted ones."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from hypothesis import strategies as st

from foalnet.core.files import json_bytes
from tests.fuzz.mutate import bytes_like, either, json_like, mapped, text_like
from tests.fuzz.records import utterances
from tests.support.corpus.trees import label_text, transcript_text

DIALOGUE = "Ses01F_impro01"
SAID = (("F000", "neu", 0.5, 1.3), ("M000", "ang", 1.5, 2.3), ("M001", "xxx", 2.5, 3.3))
ROWS = [(f"{DIALOGUE}_{suffix}", label, start, end) for suffix, label, start, end in SAID]
LINES = [
    "[0.5000 - 1.3000]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]",
    f"[0.5000 - 1{'0' * 400}]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]",
    "C-E2:\tNeutral; Anger;\t(a; word)",
]
NAMES = (
    f"{DIALOGUE}_F000", "Ses02M_impro01_M000", f"{DIALOGUE}_FXX0", "C-E2:", "A-E3:", "%", "[", "]", ";", "(", "xxx",
    " - ",
)  # fmt: skip
SIDES = "# who sits where\nSes01F_impro01\tSes01F\tright\nSes02M_impro01 Ses02M left\n"
TABLE = "clip\tau_00\tau_01\n01-01\t0.5\t-1e3\n01-02\t1\t2\n"


def labels_input() -> st.SearchStrategy[bytes]:
    """Draw a label file."""
    seeds = [label_text(ROWS), label_text([*ROWS, ("Ses02M_impro01_M000", "neu", 3.5, 4.3)])]
    return bytes_like([seed.encode() for seed in seeds], [name.encode() for name in NAMES])


def transcript_input() -> st.SearchStrategy[bytes]:
    """Draw a transcription."""
    return bytes_like([transcript_text(ROWS).encode()], [name.encode() for name in NAMES])


def line_input() -> st.SearchStrategy[str]:
    """Draw one line of a label file, or any text."""
    return either(text_like(LINES, NAMES), st.text())


def sides_input() -> st.SearchStrategy[bytes]:
    """Draw a table of sides."""
    return bytes_like([SIDES.encode()], [b"left", b"right", b"whole", b"A01", b"Ses01M", b"Ses02M_impro01"])


def table_input() -> st.SearchStrategy[bytes]:
    """Draw a feature table."""
    return bytes_like([TABLE.encode()], [b"clip", b"01-01", b"1_0", b" 1"])


def _plain(value: float) -> str:
    return format(Decimal(repr(value)), "f")


def _check_label_line(line: Any) -> None:
    from foalnet.corpora.iemocap.text import parse_label_line

    numbers = [line.start_s, line.end_s, line.valence, line.activation, line.dominance]
    assert all(math.isfinite(number) for number in numbers)
    start, end, *vad = map(_plain, numbers)
    assert parse_label_line(f"[{start} - {end}]\t{line.key}\t{line.raw_label}\t[{', '.join(vad)}]") == line


def check_labels(data: bytes, _: Path) -> None:
    """Every line of a label file is a label, a vote, a remark or in the ledger."""
    from foalnet.core.ledger import Ledger
    from foalnet.corpora.iemocap.names import name_of
    from foalnet.corpora.iemocap.text import decode, parse_labels

    ledger = Ledger()
    text = decode(data, "a.txt", ledger)
    labelled = parse_labels(text, "a.txt", DIALOGUE, ledger)
    lines = [line.strip() for line in re.split(r"\r\n|\n|\r", text)]
    assert [line.line for line in labelled] == sorted({line.line for line in labelled})
    for line in labelled:
        _check_label_line(line)
        assert name_of(line.key).dialogue == DIALOGUE and line.key in lines[line.line - 1]
        assert all(rater and all(vote and vote == vote.strip() for vote in votes) for rater, votes in line.votes)
    reasons = [entry.reason for entry in ledger.entries]
    spoken = [line for line in lines if line and not line.startswith(("%", "A-", "C-"))]
    assert len(labelled) + reasons.count("label_unparsed") == len(spoken)
    votes = [line for line in lines if line.startswith("C-")]
    assert sum(len(line.votes) for line in labelled) + reasons.count("vote_unparsed") <= len(votes)
    assert set(reasons) <= {"label_unparsed", "vote_unparsed", "encoding_repaired"}


def check_transcript(data: bytes, _: Path) -> None:
    """Words belong to an utterance's name; what is none is in the ledger."""
    from foalnet.core.ledger import Ledger
    from foalnet.corpora.iemocap.names import parse_name
    from foalnet.corpora.iemocap.text import decode, parse_transcript

    ledger = Ledger()
    text = decode(data, "a.txt", ledger)
    for key, sentence in parse_transcript(text, "a.txt", ledger).items():
        assert parse_name(key) is not None and sentence == sentence.strip()
        assert not re.search(r"[\r\n]", sentence) and sentence in text


def check_line(line: str, _: Path) -> None:
    """A line is a label, a vote, or neither."""
    from foalnet.corpora.iemocap.text import parse_label_line, parse_vote

    label, vote = parse_label_line(line), parse_vote(line)
    assert label is None or vote is None
    if label is not None:
        _check_label_line(label)
    if vote is not None:
        rater, names = vote
        assert re.fullmatch("[EFM][0-9]*", rater)
        assert all(name and name == name.strip() and not set(";(") & set(name) for name in names)


def check_sides(data: bytes, folder: Path) -> None:
    """A table of sides names dialogues, their speakers and halves of the picture, and points in utterances' faces."""
    from foalnet.clips.sides import read_sides

    file = folder / "sides.txt"
    file.write_bytes(data)
    known = utterances()
    table = read_sides(file, known)
    for dialogue, (speaker, side) in table.sides.items():
        assert (dialogue, speaker) in {(u.dialogue, u.speaker) for u in known if u.side != "whole"}
        assert side in ("left", "right")
    for key, point in table.points.items():
        assert key in {u.key for u in known}
        assert all(math.isfinite(edge) and edge >= 0 for edge in point)


def check_table(data: bytes, folder: Path) -> None:
    """A feature table that is accepted has a name and the same number of finite features in every row."""
    from foalnet.corpora.tables import read_table

    path = folder / "table.tsv"
    path.write_bytes(data)
    rows = read_table(path)
    for clip, features_FD in rows.items():
        assert clip.strip()
        assert features_FD.dtype == np.float32 and features_FD.shape[0] == 1 and np.isfinite(features_FD).all()
    assert len({features_FD.shape for features_FD in rows.values()}) <= 1


PARAMS: dict[str, Any] = {
    "corpora": {
        "drawn": {
            "reader": "iemocap", "source": "data/drawn/raw", "variants": ["foal"], "seeds": [1],
            "manifest": {"classes": {"neutral": ["neu"], "angry": ["ang"]}}, "shards": {"jpeg_quality": 90},
            "train": {"epochs": 3, "audio": {"width": 8}}, "evaluate": {}, "report": {"bootstrap": 200},
        },
    },
    "runs": {"drawn-foal-s1": {"corpus": "drawn", "variant": "foal", "seed": 1}},
    "draw": {"used_per_dialogue": 8}, "train": {"epochs": 2, "lr": 0.001},
}  # fmt: skip
YAML = (
    "&a ", "*a", "!!int ''", "!!int x", "!!float ''", "!!bool x", "!!timestamp x", "2001-99-99", "!!binary x",
    "!!set {a}", "!!omap [a]", "<<: *a", "? []", "!!python/name:os.system", "1_0", "0o8", "---", "...", "- ", "{", "[",
    ">\n", "|\n", '"\\ud800"', "!x", "0x", "1:99",
)  # fmt: skip


def params_input() -> st.SearchStrategy[bytes]:
    """Draw a params file: other values in its places, or its text spoiled."""
    text = yaml.safe_dump(PARAMS, sort_keys=False)
    recursive = "a: &a {corpora: *a, runs: *a}\n<<: *a\n"
    spoiled = bytes_like([text.encode(), recursive.encode()], [token.encode() for token in YAML])
    half = PARAMS | {"corpora": {"drawn": PARAMS["corpora"]["drawn"] | {"source": "\ud800"}}}
    return either(mapped(json_like([PARAMS, half]), lambda value: yaml.safe_dump(value).encode()), spoiled)


def check_params(data: bytes, folder: Path) -> None:
    """Params that are accepted resolve for every corpus, say themselves as JSON and name their runs."""
    from foalnet.config.load import expected_runs, read_file, resolve

    path = folder / "params.yaml"
    path.write_bytes(data)
    file = read_file(path)
    assert all(run["corpus"] in file.corpora for run in expected_runs(file).values())
    for corpus in file.corpora:
        json_bytes(resolve(file, corpus, path=path).model_dump(mode="json"))


SETTINGS = {"roots": {"iemocap": "/data"}, "workers": 2, "device": "cpu", "threads": 1, "work": "work", "slots": 1}


def settings_input() -> st.SearchStrategy[bytes]:
    """Draw a settings file."""
    spoiled = bytes_like([yaml.safe_dump(SETTINGS).encode()], [token.encode() for token in YAML])
    return either(mapped(json_like([SETTINGS]), lambda value: yaml.safe_dump(value).encode()), spoiled)


def check_settings(data: bytes, folder: Path) -> None:
    """Settings that are accepted have a worker and a work folder."""
    from foalnet.config import load_settings

    (folder / "settings.yaml").write_bytes(data)
    settings = load_settings(folder)
    assert settings.workers >= 1 and settings.slots >= 1 and settings.threads >= 0 and isinstance(settings.work, Path)
