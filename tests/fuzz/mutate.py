"""Hostile input from valid input: bytes cut, doubled, exchanged and spliced; JSON with exchanged values."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

# What breaks readers of text, of numbers and of names.
TOKENS = (
    b"\x00", b"\r", b"\n", b"\r\n", b"\t", b" ", b"\x85", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3",
    b"\xed\xa0\x80", b"-", b"-1", b"9" * 400, b"1e999", b"nan", b"inf", b"0.1.2", b"\xd9\xa1", b'"', b"\\ud800",
    b"[" * 2000, b"{}", b"null", b"../", b"/", b"%", b"#", b":", b";", b"a" * 1000,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf"), "", " ", "a",
    "x" * 300, "\ud800", "../../etc", "/etc/passwd", "a\nb", "0", [], [[]], [None], {}, {"": None}, {"a": {"a": []}},
)  # fmt: skip
MOST = 8


@st.composite
def bytes_like(draw: Any, seeds: Sequence[bytes], tokens: Sequence[bytes] = ()) -> bytes:
    """Draw one of the seeds with some of its bytes changed, or sometimes unrelated bytes."""
    if draw(st.integers(0, 19)) == 0:
        return bytes(draw(st.binary(max_size=200)))
    data = bytearray(draw(st.sampled_from(list(seeds))))
    alphabet = [*TOKENS, *tokens, *tokens]
    for _ in range(draw(st.integers(0, MOST))):
        start = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from((0, 1, 1, 4, 16, 100)))
        kind = draw(st.sampled_from(("flip", "token", "token", "cut", "double", "end")))
        if kind == "flip" and start < len(data):
            data[start] ^= 1 << draw(st.integers(0, 7))
        elif kind == "token":
            data[start : start + length] = draw(st.sampled_from(alphabet))
        elif kind == "cut":
            del data[start : start + length]
        elif kind == "double":
            data[start:start] = data[start : start + length]
        elif kind == "end":
            del data[start:]
    return bytes(data)


def text_like(seeds: Sequence[str], tokens: Sequence[str] = ()) -> st.SearchStrategy[str]:
    """Draw text as `bytes_like` draws bytes."""
    raw = bytes_like([seed.encode() for seed in seeds], [token.encode() for token in tokens])
    return raw.map(lambda data: data.decode("utf-8", "replace"))


@st.composite
def json_like(draw: Any, seeds: Sequence[Any], values: Sequence[Any] = ()) -> Any:
    """Draw one of the seeds with up to three of its values replaced, left out, doubled or under another name."""
    value = copy.deepcopy(draw(st.sampled_from(list(seeds))))
    pool = st.sampled_from([*VALUES, *values, *values])
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(value))
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        how = draw(st.sampled_from(("other", "other", "gone", "twice", "renamed")))
        if how == "other":
            holder[key] = copy.deepcopy(draw(pool))
        elif how == "gone":
            del holder[key]
        elif how == "twice" and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif how == "renamed" and isinstance(holder, dict):
            holder[draw(st.sampled_from(("", "schema", "x", "key", *map(str, holder))))] = holder.pop(key)
    return value


def _places(value: Any) -> Any:
    """Yield (container, key or position) of everything inside a JSON value."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


def either(*strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw from one of several ways."""
    return st.one_of(*strategies)


def mapped(strategy: st.SearchStrategy[Any], write: Callable[[Any], bytes]) -> st.SearchStrategy[bytes]:
    """Draw what `write` makes of a drawn value; b"" where it cannot be written at all."""

    def written(value: Any) -> bytes:
        try:
            return write(value)
        except (ValueError, TypeError):
            return b""

    return strategy.map(written)
