"""A staged utterance as a row for other programs: its metadata without the offsets of streams, and its parts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from foalnet.shards import Sample
from foalnet.shards.format import SOUND, STREAMS


def row_of(sample: Sample) -> dict[str, Any]:
    """Return the metadata of a sample; the pictures are cut, so the offsets of the streams are left out."""
    row = {name: value for name, value in asdict(sample.meta).items() if value is not None}
    for part in ("video", "listener_video"):
        if part in row:
            row[part] = {name: value for name, value in row[part].items() if not name.endswith("_offsets")}
    return row


def sound_of(sample: Sample) -> bytes | None:
    """Return the bytes of the sound, a FLAC file; None without sound."""
    return sample.members.get(SOUND)


def pictures_of(sample: Sample) -> dict[str, list[bytes | None]]:
    """Return stream -> JPEG of each frame, None for a frame without a picture; only the streams that the sample has."""
    return {
        stream: [jpeg or None for jpeg in sample.pictures(stream)]  # type: ignore[arg-type]
        for stream in STREAMS
        if sample.has(stream)
    }
