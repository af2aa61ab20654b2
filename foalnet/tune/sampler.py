"""Draws settings from a space with optuna's TPE sampler and records their scores.

It is deterministic: the same seed and the same scores give the same settings in the same order.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from foalnet.config.blocks import Choice
from foalnet.config.tuning import Dimension, Tune
from foalnet.core.errors import MachineError
from foalnet.methods.params import kinds_of

STAGE = "tune"
# A drawn number is rounded to this many digits: enough for any setting, and readable in params.yaml.
DIGITS = 4
# The score that a failed trial counts with.
WORST = 0.0


def optuna_quiet() -> ModuleType:
    """Return optuna with its log reduced to warnings; MachineError (exit 4) if it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise MachineError(
            f"a search needs the package of the extra `tune`: {error}",
            action="pip install -c constraints.txt -e '.[tune]'",
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


class Sampler:
    """Draws one trial after another: the first `random` at random, the others by TPE.

    Source: Bergstra et al. 2011 (tree-structured Parzen estimator), as optuna implements it. The sampler does not know
    the variant, so that the random trials are the same for all.
    """

    def __init__(self, params: Tune) -> None:
        optuna = optuna_quiet()
        self._space = params.space
        self._distributions = {
            path: _distribution(optuna, path, dimension) for path, dimension in sorted(params.space.items())
        }
        sampler = optuna.samplers.TPESampler(seed=params.seed, n_startup_trials=params.random)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._trial: Any = None

    def draw(self) -> dict[str, Choice]:
        """Return the next setting: param below `train` -> value, sorted by param."""
        self._trial = self._study.ask(self._distributions)
        return {path: _rounded(self._trial.params[path], self._space[path]) for path in self._distributions}

    def record(self, score: float | None) -> None:
        """Record the score (0 to 1) of the setting drawn last, None if it failed."""
        self._study.tell(self._trial, WORST if score is None else score)


def _distribution(optuna: ModuleType, path: str, dimension: Dimension) -> Any:
    if dimension.choices is not None:
        return optuna.distributions.CategoricalDistribution(tuple(dimension.choices))
    low, high = dimension.low, dimension.high
    assert low is not None and high is not None
    if kinds_of(path) == {int}:
        return optuna.distributions.IntDistribution(int(low), int(high), log=dimension.log)
    return optuna.distributions.FloatDistribution(float(low), float(high), log=dimension.log)


def _rounded(value: Choice, dimension: Dimension) -> Choice:
    """Return a drawn number rounded to DIGITS, inside its range."""
    if dimension.choices is not None or not isinstance(value, float):
        return value
    assert dimension.low is not None and dimension.high is not None
    return min(max(float(f"{value:.{DIGITS}g}"), float(dimension.low)), float(dimension.high))
