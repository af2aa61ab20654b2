"""What would happen if: the trained runs of a corpus on disturbed clips, and controls of its scores; stage `probe`."""

from foalnet.probe.run import run_probe

__all__ = ["run_probe"]
