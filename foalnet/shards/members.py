"""The rules for a shard's content: keys, the members of a sample, and the frames of a picture stream."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

KEY = re.compile(r"[A-Za-z0-9_-]+")
# The longest member name must fit into the 100 bytes of a plain tar header, so that no extension header is needed.
KEY_MAX = 100 - len(".half.mjpg")

# Sorted as the tar writer orders them; no other members are written or accepted.
PICTURES = ("face.mjpg", "flac", "half.mjpg", "json")
FEATURES = ("flac", "json", "video.npy")
KINDS = (PICTURES, FEATURES)


def valid_key(key: str) -> bool:
    """Tell whether a key is a valid sample name: letters, digits, `_`, `-`, at most KEY_MAX of them.

    To a WebDataset reader a dot ends the key, so a key with a dot could merge two utterances into one sample.

    >>> valid_key("Ses01F_impro01_F000"), valid_key("clip.1")
    (True, False)
    """
    return len(key) <= KEY_MAX and KEY.fullmatch(key) is not None


def declared(meta: Any) -> tuple[str, ...] | None:
    """Return the members that a sample's metadata declares, None if it declares neither pictures nor features.

    >>> declared({"video": {"times_s": []}})
    ('face.mjpg', 'flac', 'half.mjpg', 'json')
    """
    if not isinstance(meta, dict):
        return None
    if isinstance(meta.get("video"), dict) and meta.get("features") is None:
        return PICTURES
    if isinstance(meta.get("features"), dict) and meta.get("video") is None:
        return FEATURES
    return None


def valid_offsets(offsets: Any, frames: int, size: int) -> bool:
    """Tell whether `offsets` cut `size` bytes into `frames` pieces: frames + 1 ascending ints from 0 to size.

    >>> valid_offsets([0, 2, 2, 5], frames=3, size=5), valid_offsets([0, 2, 1, 5], frames=3, size=5)
    (True, False)
    """
    if not isinstance(offsets, list) or len(offsets) != frames + 1:
        return False
    if not all(type(o) is int for o in offsets):
        return False
    return offsets[0] == 0 and offsets[-1] == size and all(a <= b for a, b in itertools.pairwise(offsets))


def split_frames(stream: bytes, offsets: Sequence[int]) -> list[bytes]:
    """Return the JPEGs of a picture stream, one per frame slot; empty bytes for a slot without a picture.

    >>> split_frames(b"aabbb", [0, 2, 2, 5])
    [b'aa', b'', b'bbb']
    """
    return [stream[a:b] for a, b in itertools.pairwise(offsets)]
