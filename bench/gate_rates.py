"""Simulates the gate: how often each limit and level refuses challengers that are as good as the champion, or worse.

    python -m bench.gate_rates [--table TABLE] [--simulations 400] > bench/gate_rates.md

Both sides are drawn on the structure of a corpus: the drawn one, and IEMOCAP's from its TABLE of utterances
(`utterance` and `label`, tab-separated; without --table from FOALNET_SHARED_DATA). The comparison is the gate's own:
paired over people and seeds, by the one-sided bound of `foalnet.evidence.crossed`.
Shape letters: N utterances, C classes, S seeds, K sessions.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from foalnet.evidence.crossed import by_unit, crossed

TABLE = "iemocap_utterances.tsv"
CLASS_OF = {"hap": 0, "exc": 0, "neu": 1, "sad": 2, "ang": 3}
# A probit model of who is right: recalls by class, and standard deviations in probit units (0.1 is about 3 points).
RECALL = (0.78, 0.68, 0.78, 0.80)
# Of session, speaker, dialogue, and speaker by class: what published folds of IEMOCAP show; both sides share them.
PEOPLE = (0.12, 0.1, 0.3, 0.2)
# Of one side alone: its training by seed, by session of a seed, and its dialogues.
TRAINING = (0.05, 0.035, 0.05)
SHARED_LUCK = 0.7  # part of an utterance's own chance that all trainings share
WORSE = (0.0, 0.01, 0.02, 0.03, 0.05)
LIMITS = (0.02, 0.03, 0.05, 0.08)
LEVELS = (0.8, 0.9, 0.95)
SEEDS = (1, 3, 5)


@dataclass(frozen=True, kw_only=True)
class People:
    """The structure of a corpus: number of session, speaker, dialogue and class of each utterance."""

    name: str
    session_N: np.ndarray
    speaker_N: np.ndarray
    dialogue_N: np.ndarray
    class_N: np.ndarray

    @classmethod
    def of(cls, name: str, rows: Sequence[tuple[str, str, str, int]]) -> People:
        """Return the structure of rows of session, speaker, dialogue and class."""
        numbers = [np.unique([row[i] for row in rows], return_inverse=True)[1] for i in range(3)]
        class_N = np.array([row[3] for row in rows])
        return cls(name=name, session_N=numbers[0], speaker_N=numbers[1], dialogue_N=numbers[2], class_N=class_N)

    @property
    def says(self) -> str:
        """Its name and sizes."""
        sizes = (self.session_N.max() + 1, self.speaker_N.max() + 1, self.dialogue_N.max() + 1, len(self.class_N))
        return "{}: {:,} sessions, {:,} speakers, {:,} dialogues, {:,} utterances".format(self.name, *sizes)


def drawn() -> People:
    """Return the structure of the drawn corpus."""
    rows = [
        (f"s{s}", f"s{s}{'FM'[i % 2]}", f"s{s}d{d}", (i + d) % 4) for s in range(5) for d in range(6) for i in range(14)
    ]
    return People.of("drawn corpus", rows)


def iemocap(table: Path) -> People:
    """Return the structure of IEMOCAP's four classes."""
    with table.open() as file:
        read = [(row["utterance"], row["label"]) for row in csv.DictReader(file, delimiter="\t")]
    rows = []
    for key, label in read:
        if label in CLASS_OF:
            dialogue, turn = key.rsplit("_", 1)
            rows.append((key[:5], key[:5] + turn[0], dialogue, CLASS_OF[label]))
    return People.of("IEMOCAP", rows)


def shift(worse: float) -> float:
    """Return by how much the probits fall where UA falls by `worse`."""
    mean_C, scale = norm.ppf(RECALL), np.sqrt(1 + sum(sd * sd for sd in (*PEOPLE, *TRAINING)))

    def loss(by: float) -> float:
        return float((norm.cdf(mean_C / scale) - norm.cdf((mean_C - by) / scale)).mean()) - worse

    return float(brentq(loss, 0.0, 2.0))


def right(skill_N: np.ndarray, common_N: np.ndarray, people: People, generator: np.random.Generator) -> np.ndarray:
    """Return which utterances one side of `skill_N` gets right, [S, N]."""
    seed, fold, dialogue = TRAINING
    own_N = generator.normal(0, dialogue, people.dialogue_N.max() + 1)[people.dialogue_N]
    rows = []
    for _ in range(max(SEEDS)):
        noise_N = generator.normal(0, fold, people.session_N.max() + 1)[people.session_N] + generator.normal(0, seed)
        luck_N = np.sqrt(SHARED_LUCK) * common_N + np.sqrt(1 - SHARED_LUCK) * generator.normal(size=len(skill_N))
        rows.append(luck_N < skill_N + own_N + noise_N)
    return np.array(rows, dtype=float)


def gaps(people: People, worse: float, simulations: int) -> Iterator[np.ndarray]:
    """Yield challenger minus champion by seed and session, [S, K], of challengers that are worse by `worse`."""
    generator, fallen = np.random.default_rng(1), shift(worse)
    units, labels = [str(x) for x in people.session_N], [str(x) for x in people.class_N]
    for _ in range(simulations):
        parts = zip(PEOPLE, (people.session_N, people.speaker_N, people.dialogue_N), strict=False)
        skill_N = norm.ppf(RECALL)[people.class_N]
        skill_N = skill_N + sum(generator.normal(0, sd, names_N.max() + 1)[names_N] for sd, names_N in parts)
        by_class_KC = generator.normal(0, PEOPLE[3], (people.speaker_N.max() + 1, len(RECALL)))
        skill_N = skill_N + by_class_KC[people.speaker_N, people.class_N]
        common_N = generator.normal(size=len(skill_N))
        gap_SN = right(skill_N - fallen, common_N, people, generator) - right(skill_N, common_N, people, generator)
        yield by_unit(gap_SN.tolist(), units, labels, "ua")


def refused(tables: Sequence[np.ndarray], seeds: int, level: float, limit: float) -> float:
    """Return the share of comparisons of so many seeds that the gate refuses."""
    return float(np.mean([crossed(gap_SK[:seeds], level).at_least() < -limit for gap_SK in tables]))


def report(people: People, simulations: int) -> Iterator[str]:
    """Yield the lines of a corpus: the share refused by seeds, level and limit, for each true loss."""
    yield f"## {people.says}"
    yield ""
    yield "| seeds | level | limit, points |" + "".join(
        f" {'equal' if worse == 0 else f'worse by {100 * worse:.0f}'} |" for worse in WORSE
    )
    yield "|--:|--:|--:|" + "--:|" * len(WORSE)
    tables = {worse: list(gaps(people, worse, simulations)) for worse in WORSE}
    for seeds in SEEDS:
        for level in LEVELS:
            for limit in LIMITS:
                shares = [refused(tables[worse], seeds, level, limit) for worse in WORSE]
                cells = "".join(f" {100 * share:.0f} |" for share in shares)
                yield f"| {seeds} | {100 * level:.0f} % | {100 * limit:.0f} |{cells}"
    yield ""


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.gate_rates", description=__doc__.split("\n")[0])
    parser.add_argument("--table", type=Path)
    parser.add_argument("--simulations", type=int, default=400)
    args = parser.parse_args(argv)
    shared = os.environ.get("FOALNET_SHARED_DATA")
    table = args.table or (Path(shared) / TABLE if shared else None)
    print(f"Printed by `python -m bench.gate_rates`, {args.simulations} simulations a row.\n")
    print("Percent of challengers that the gate refuses: the one-sided bound allows a loss of UA above the limit.\n")
    print(*report(drawn(), args.simulations), sep="\n")
    if table is None or not table.is_file():
        print(f"IEMOCAP: not simulated, {table or 'FOALNET_SHARED_DATA names no folder and --table no file'} is absent")
    else:
        print(*report(iemocap(table), args.simulations), sep="\n")


if __name__ == "__main__":
    main()
