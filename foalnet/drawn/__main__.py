"""Prints the best possible scores on the drawn corpus: `python -m foalnet.drawn`."""

from __future__ import annotations

import sys

from foalnet.config.load import read_file
from foalnet.core.errors import FoalnetError
from foalnet.drawn.plan import plan
from foalnet.drawn.rule import best_scores, frequencies, scores_of


def main() -> int:
    """Print a table for the params file in the current folder; return the exit code."""
    try:
        params = read_file().draw
        ruled = best_scores(params)
        drawn = scores_of(frequencies(turn.cell for dialogue in plan(params) for turn in dialogue.turns if turn.cell))
    except FoalnetError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(f"{'best UA of':<14}{'by the rule':>12}{'as drawn':>10}\n")
    for name, score in ruled.items():
        sys.stdout.write(f"{name:<14}{score:>12.4f}{drawn[name]:>10.4f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
