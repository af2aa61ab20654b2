"""The toy project of the flow tests, for faults that are flows'."""

from tests.flows.conftest import server, toy, toy_source

__all__ = ["server", "toy", "toy_source"]
