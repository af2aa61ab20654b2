"""Hostile tables of CREMA-D and MELD, and the invariants of accepted ones."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import strategies as st

from tests.fuzz.mutate import bytes_like
from tests.support.corpus.public import COLUMNS, DIALOGUES, meld_rows, responses, table

ROWS = table(COLUMNS, meld_rows(DIALOGUES["train"]))
EACH = responses(("a", "1001_DFA_ANG_XX", 1, "A"), ("b", "1001_DFA_ANG_XX", 3, "N"))
COUNTED = ',A,D,F,H,N,S,fileName\n100001,1,0,0,2,0,0,"1001_DFA_ANG_XX"\n300001,0,0,0,0,0,3,1001_DFA_ANG_XX\n'


def meld_input() -> st.SearchStrategy[bytes]:
    """Draw a table of MELD."""
    parts = [b"neutral", b"Emotion", b"00:01:00,000", b"\x92", b'"', b",", b"-1", b"0", "’".encode()]
    return bytes_like([ROWS.encode(), ROWS.encode("cp1252")], parts)


def check_meld(data: bytes, folder: Path) -> None:
    """An accepted row has a known emotion, a plain key and speaker, and times that end after they start."""
    from foalnet.core.ledger import Ledger
    from foalnet.corpora.meld.rows import EMOTIONS, read_part

    file = folder / "train_sent_emo.csv"
    file.write_bytes(data)
    rows = read_part(file, "train", Ledger())
    assert len({row.key for row in rows}) == len(rows)
    for row in rows:
        assert row.emotion in EMOTIONS and re.fullmatch("[A-Za-z0-9-]+", row.speaker)
        assert re.fullmatch("train_dia[0-9]+_utt[0-9]+", row.key) and row.text == " ".join(row.text.split())
        assert row.span_s is None or 0 <= row.span_s[0] < row.span_s[1]


def votes_input() -> st.SearchStrategy[bytes]:
    """Draw a table of votes of CREMA-D: each rater's, or the counts."""
    return bytes_like([EACH.encode(), COUNTED.encode()], [b"respEmo", b"A", b"100001", b"-1", b"9", b'"', b","])


def check_votes(data: bytes, folder: Path) -> None:
    """An accepted vote is one of the six emotions, and the rater's name says what was shown."""
    from foalnet.core.errors import DataError
    from foalnet.core.ledger import Ledger
    from foalnet.corpora.cremad.votes import LETTERS, SHOWN, TABLES, read_votes

    refused = []
    for name in TABLES:
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)
        try:
            votes = read_votes(folder, [name], Ledger())
        except DataError as error:
            refused.append(error)
            continue
        for raters in votes.values():
            assert set(raters.values()) <= set(LETTERS.values())
            assert all(rater.partition("-")[0] in SHOWN for rater in raters)
    if len(refused) == len(TABLES):
        raise refused[0]
