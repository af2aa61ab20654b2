"""A sample of a shard, decoded: its metadata, sound, pictures and table of features.

Shape letters: N samples, F frames, D numbers of a row.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import get_args

import numpy as np
from pydantic import TypeAdapter, ValidationError

from foalnet.artifact.seal import command
from foalnet.core.errors import DataError, UsageError, reason
from foalnet.shards.format import META, SOUND, STREAMS, TABLE, SampleMeta, Stream, split_frames, valid_offsets


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One utterance as stored in a shard: its key and the bytes of its members by extension (`json`, `flac`, …).

    `shard` is the shard's relative path, "" for a sample that is not in one. The methods decode the members; each
    raises DataError (exit 3) for a damaged one, with the utterance.
    """

    key: str
    shard: str
    members: Mapping[str, bytes]

    @cached_property
    def meta(self) -> SampleMeta:
        """The metadata."""
        try:
            meta = _adapter().validate_json(self.members[META])
        except KeyError:
            raise self.unusable("it has no metadata") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the whole"
            raise self.unusable(f"its metadata cannot be read: {where}: {first['msg']}") from error
        pictures, silent = (meta.video is not None) + (meta.features is not None), meta.audio is None
        if pictures != (0 if silent else 1):
            what = "pictures without sound" if silent else "neither pictures nor features, or both"
            raise self.unusable(f"its metadata declares {what}")
        return meta

    def check(self) -> None:
        """Raise DataError (exit 3) if the members are not those that the metadata declares."""
        meta = self.meta
        if tuple(sorted(self.members)) != meta.members or meta.key != self.key:
            raise self.unusable(f"it declares {', '.join(meta.members)} and has {', '.join(self.members)}")
        if meta.video is not None:
            frames = len(meta.video.times_s)
            for stream in (stream for stream in get_args(Stream) if self.has(stream)):
                if not valid_offsets(meta.offsets(stream), frames, len(self.members[STREAMS[stream]])):
                    raise self.unusable(f"its {stream} pictures are not cut into {frames} frames")
            if (other := meta.listener_video) is not None:
                lengths = {len(values) for values in (other.boxes, other.scores, other.sources, other.reasons)}
                if lengths != {frames}:
                    raise self.unusable(
                        f"its listener has not a box, score, source and reason for each of {frames} frames"
                    )

    def sound(self) -> tuple[np.ndarray, int]:
        """Return (wave_N float32 in [-1, 1], its rate in Hz); at least one sample; see `has`."""
        from foalnet.media import read_flac

        try:
            wave_N, rate_hz = read_flac(self.members[SOUND])
        except DataError as error:
            raise self.unusable(error.what) from error
        if not len(wave_N):
            raise self.unusable("its sound has no samples")
        return wave_N, rate_hz

    def has(self, part: str) -> bool:
        """Return whether the sample has `sound`, `face`, `half`, `listener` or `features`."""
        return {**STREAMS, "sound": SOUND}.get(part, TABLE) in self.members

    def pictures(self, stream: Stream) -> list[bytes]:
        """Return the JPEG of each frame, b"" for a frame without a picture; see `has`."""
        return split_frames(self.members[STREAMS[stream]], self.meta.offsets(stream))

    def table(self) -> np.ndarray:
        """Return rows_FD (float32) of the corpus' own table of features; see `has`."""
        assert self.meta.features is not None
        shape = (self.meta.features.frames, self.meta.features.dims)
        try:
            rows_FD = np.load(io.BytesIO(self.members[TABLE]), allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise self.unusable(f"{TABLE} is not a plain table of numbers: {reason(error)}") from error
        if not isinstance(rows_FD, np.ndarray) or rows_FD.dtype != np.float32 or rows_FD.shape != shape:
            actual = f"{rows_FD.dtype} {list(rows_FD.shape)}" if isinstance(rows_FD, np.ndarray) else "an archive"
            raise self.unusable(f"{TABLE} is {actual}, its metadata declares float32 {list(shape)}")
        if not np.isfinite(rows_FD).all():
            raise self.unusable(f"{TABLE} holds NaN or infinite values")
        return rows_FD

    def unusable(self, what: str) -> DataError:
        """Return the error for a damaged member."""
        return DataError(
            what,
            file=self.shard or None,
            utterance=self.key,
            action=f"build the shards again: `{command('shards@CORPUS')}`",
        )

    def lacks(self, setting: str, action: str) -> UsageError:
        """Return the error (exit 2) for params that name a picture which the corpus does not have."""
        held = ", ".join(sorted(self.members))
        return UsageError(f"{setting}, but the shards hold {held}", utterance=self.key, action=action)


@cache
def _adapter() -> TypeAdapter[SampleMeta]:
    return TypeAdapter(SampleMeta)
