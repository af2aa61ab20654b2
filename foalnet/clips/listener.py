"""The other person of a two-actor picture while an utterance is spoken: `shards.listener` stages that face, too.

The listener is cut like an utterance of its own, with the other side, from the same decode.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from foalnet.clips.pictures import LISTENER, Pictures, missing_pictures
from foalnet.clips.slots import Slots
from foalnet.clips.spool import Pieces
from foalnet.config.blocks import Shards
from foalnet.core.errors import UsageError
from foalnet.core.records import FaceTrack, Utterance
from foalnet.faces.audit import OTHER
from foalnet.shards import NO_BOX, ListenerMeta

# The reason of every frame of an utterance in a picture that one person fills.
NO_LISTENER = "no_listener"
BOX_DIGITS, SCORE_DIGITS = 2, 4


def with_listeners(utterances: Sequence[Utterance], params: Shards) -> list[Utterance]:
    """Return the utterances, and with `listener: true` one more per utterance of a half, for its listener."""
    others = (u for u in utterances if params.listener and u.side in OTHER)
    return [*utterances, *(replace(u, key=listener_key(u.key), side=OTHER[u.side]) for u in others)]


def listener_key(key: str) -> str:
    """Return the name under which an utterance's listener is cut."""
    return key + LISTENER


def check_listeners(utterances: Sequence[Utterance], params: Shards) -> None:
    """Raise UsageError (exit 2) for `listener: true` in a corpus without pictures of two people."""
    if params.listener and not any(u.side in OTHER and u.video is not None for u in utterances):
        raise UsageError(
            "shards.listener is true, but no utterance has a video with two people side by side",
            file="params.yaml",
            action="set shards.listener: false",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Listener:
    """What a sample stores of the listener."""

    meta: ListenerMeta
    faces: Pieces


def listener_of(u: Utterance, pictures: Mapping[str, Pictures]) -> Listener:
    """Return the listener of an utterance; without two people in its picture, a listener without a face."""
    seen = pictures.get(listener_key(u.key))
    if seen is None:
        times_s = pictures[u.key].track.times_s
        seen = missing_pictures(Slots(first=0, stop=0, times_s=times_s), NO_LISTENER)
    meta = ListenerMeta(overlap_s=u.overlap_s or 0.0, **track_lists(seen.track), listener_offsets=seen.faces.offsets)
    return Listener(meta=meta, faces=seen.faces)


def listener_figures(listener: Listener | None) -> dict[str, Any]:
    """Return an utterance's counts of its listener for staging.json; {} without one."""
    if listener is None:
        return {}
    sources = Counter(listener.meta.sources)
    missing = Counter(reason for reason in listener.meta.reasons if reason)
    counts = {"detected": sources["detected"], "bridged": sources["bridged"], "missing": dict(sorted(missing.items()))}
    return {"listener": counts | {"overlap_s": listener.meta.overlap_s}}


def track_lists(track: FaceTrack) -> dict[str, Any]:
    """Return a track as metadata stores it: boxes, scores, sources, reasons."""
    edges = [NO_BOX if b is None else (b.left, b.top, b.right, b.bottom) for b in track.boxes]
    return {
        "boxes": [[round(float(edge), BOX_DIGITS) for edge in box] for box in edges],
        "scores": [0.0 if b is None else round(float(b.score), SCORE_DIGITS) for b in track.boxes],
        "sources": list(track.sources),
        "reasons": [reason or "" for reason in track.reasons],
    }
