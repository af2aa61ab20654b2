"""A flow with nothing to do loads nothing that it does not use."""

from __future__ import annotations

import subprocess
import sys


def test_a_flow_loads_no_library_of_statistics_before_it_needs_one() -> None:
    code = "import flows.retrain, flows.staging, flows.training, sys; print({'sklearn', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
