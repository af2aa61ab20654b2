"""Detects the black bars of a video in its first frames, and passes on the frames that it decoded for it."""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Generator, Sequence

from foalnet import media
from foalnet.config.blocks import Shards

Frames = Generator[tuple[int, media.Picture], None, None]
# Black bars are searched in this many of the first frames used, this many apart: one dark frame proves nothing.
LETTERBOX_FRAMES = 9
LETTERBOX_STEP = 8
# The raw frames that one utterance may hold.
HELD_BYTES = 2**28


def picture_rows(
    used: Callable[[media.Rows | None], Frames], info: media.VideoInfo, params: Shards
) -> tuple[media.Rows, Frames]:
    """Return the picture's rows without black bars, and the frames with these rows alone, from the first one used.

    The rows are rounded inwards to even numbers: 2 x 2 pixels share a colour.
    """
    whole = (0, info.height_px - info.height_px % 2)
    if not params.letterbox:
        return whole, used(whole)
    frames = used(None)
    looked = LETTERBOX_STEP * (LETTERBOX_FRAMES - 1) + 1
    # Larger pictures are decoded a second time, because so many of them would not fit.
    fits = looked * info.width_px * info.height_px * 3 // 2 <= HELD_BYTES
    seen = deque(itertools.islice(frames, 0, looked, 1 if fits else LETTERBOX_STEP))
    sample = itertools.islice(seen, 0, None, LETTERBOX_STEP if fits else 1)
    top, bottom = _lit_rows([picture for _, picture in sample], info)
    rows = (top + top % 2, bottom - bottom % 2)
    if fits and rows == (0, info.height_px):
        return rows, _resumed(seen, frames)
    frames.close()
    return rows, used(rows)


def _lit_rows(pictures: Sequence[media.Picture], info: media.VideoInfo) -> media.Rows:
    """Return the rows between the black bars of a video."""
    edge_px, (width_px, height_px) = media.MIN_STRIPE_ROWS, (info.width_px, info.height_px)
    edges = [
        [media.brightness(picture.rgb((0, top, width_px, top + edge_px))) for picture in pictures]
        for top in (0, height_px - edge_px)
    ]
    if not pictures or all(media.lit_rows(light).all() for light in edges):
        return 0, height_px
    return media.letterbox_rows([media.brightness(picture.rgb((0, 0, width_px, height_px))) for picture in pictures])


def _resumed(seen: deque[tuple[int, media.Picture]], rest: Frames) -> Frames:
    """Yield the frames that were decoded already, then the rest."""
    with contextlib.closing(rest):
        while seen:
            yield seen.popleft()
        yield from rest
