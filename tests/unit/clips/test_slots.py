"""Frame slots: exactly the frames of an utterance's time, including the missing ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from foalnet.clips.slots import slots_of

NTSC = 30000 / 1001
TIMES = [i / NTSC for i in range(300)]


def test_frames_from_start_to_before_end() -> None:
    slots = slots_of(1.0, 2.0, [i / 25 for i in range(100)], 25.0)
    assert (slots.first, slots.stop) == (25, 50)
    assert slots.times_s[0] == 1.0 and slots.times_s[-1] == 1.96


def test_slots_go_on_where_the_video_ends() -> None:
    slots = slots_of(3.5, 4.5, [i / 25 for i in range(100)], 25.0)
    assert (slots.first, slots.stop, slots.existing) == (88, 100, 12)
    assert len(slots.times_s) == 25
    assert slots.times_s[12] == 4.0 and slots.times_s[-1] == 4.48


def test_wholly_beyond_the_end_has_no_frame_but_all_slots() -> None:
    slots = slots_of(9.0, 10.0, [i / 25 for i in range(100)], 25.0)
    assert slots.existing == 0 and len(slots.times_s) == 25
    assert slots.times_s[0] == 9.0


def test_no_video_gives_slots_at_the_fallback_rate() -> None:
    slots = slots_of(0.0, 1.0, (), 0.0)
    assert slots.existing == 0 and len(slots.times_s) == 30 and slots.times_s[0] == 0.0


def test_too_short_for_a_frame_takes_the_one_on_screen() -> None:
    slots = slots_of(1.01, 1.02, [i / 25 for i in range(100)], 25.0)
    assert (slots.first, slots.stop, slots.times_s) == (25, 26, (1.0,))
    assert slots_of(7.01, 7.02, [i / 25 for i in range(100)], 25.0).times_s == (7.01,)
    assert slots_of(0.001, 0.002, (), 0.0).times_s == (0.001,)


def test_an_end_that_meets_the_video_s_end_misses_nothing() -> None:
    assert slots_of(3.0, 4.0, [i / 25 for i in range(100)], 25.0).existing == 25
    assert len(slots_of(3.0, 4.0, [i / 25 for i in range(100)], 25.0).times_s) == 25
    # 203 frames and one more: just below 8.16 in binary, 8.16 on paper.
    assert 203 / 25 + 1 / 25 < 204 / 25
    slots = slots_of(8.0, 8.16, [i / 25 for i in range(204)], 25.0)
    assert slots.existing == len(slots.times_s) == 4


@given(
    start=st.floats(0, 20, allow_nan=False),
    length=st.floats(0.0005, 12, allow_nan=False),
    frames=st.integers(0, 300),
)
def test_one_slot_per_frame_time_whatever_exists(start: float, length: float, frames: int) -> None:
    end = start + length
    whole = slots_of(start, end, [i / NTSC for i in range(1200)], NTSC)
    cut = slots_of(start, end, TIMES[:frames], NTSC)
    assert len(cut.times_s) >= 1
    assert abs(len(cut.times_s) - length * NTSC) <= 1.01
    # Cutting the video takes pictures away, never slots or time.
    assert abs(len(cut.times_s) - len(whole.times_s)) <= 1
    assert all(a < b for a, b in zip(cut.times_s, cut.times_s[1:], strict=False))
    if whole.existing > 1:
        assert all(start - 1e-6 <= t < end + 1e-6 for t in cut.times_s)
    assert 0 <= cut.first <= cut.stop <= frames
