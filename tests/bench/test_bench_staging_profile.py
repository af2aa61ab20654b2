"""The profile of staging: what is counted as what."""

from __future__ import annotations

import cProfile
import pstats
import time

import cv2
import numpy as np
import pytest

from bench.staging_profile import KINDS, kinds_of


def test_the_time_of_a_kind_is_its_functions_own_and_nothing_is_lost() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (800, 800, 3), np.uint8)
    profile = cProfile.Profile(time.thread_time)
    profile.enable()
    for _ in range(3):
        cv2.imencode(".jpg", picture)
    cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    profile.disable()
    stats = pstats.Stats(profile)
    kinds = kinds_of(stats)
    assert set(kinds) == {*KINDS, "everything else"}
    assert kinds["JPEG"] > kinds["colours"] > 0 and kinds["detection"] == 0
    assert sum(kinds.values()) == pytest.approx(stats.total_tt)  # type: ignore[attr-defined]
