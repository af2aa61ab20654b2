"""Checks before and after a run: the machine (doctor), the chain of results (verify), DVC's cache."""
