"""Markers of tests: what a test has been seen to fail for."""

from __future__ import annotations

import pytest


def red_when(file: str, mutation: str, *, case: str = "") -> pytest.MarkDecorator:
    """State that the test failed while `file` (below foalnet/) had this mutation; it was then taken back.

    `case`: the parametrized case that failed, "" for all. `python -m tests.faults.catalogue` lists the mutations.
    """
    return pytest.mark.red_when(file, mutation, case)
