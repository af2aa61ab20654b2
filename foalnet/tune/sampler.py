"""The door to optuna: it draws settings from the space and is told their scores; nothing else of it is used.

Replayed, it repeats itself: with the same seed and the same scores the same settings come in the same order.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from foalnet.config.blocks import Choice, Dimension, Tune
from foalnet.config.space import number_kinds
from foalnet.core.errors import MachineError

STAGE = "tune"
# Digits kept of a drawn number: enough for any setting, and readable in params.yaml.
DIGITS = 4
# What a trial without a score counts as: the worst there is.
WORST = 0.0


def optuna_quiet() -> ModuleType:
    """Import optuna without its own log (MachineError, exit 4, where it is not installed)."""
    try:
        import optuna
    except ImportError as error:
        raise MachineError(
            f"a search needs the package of the extra `tune`: {error}",
            stage=STAGE,
            action="pip install -c constraints.txt -e '.[tune]'",
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


class Sampler:
    """Draws trial after trial of one variant: the first `random` by chance alone, the others by TPE.

    Source: Bergstra et al. 2011 (tree-structured Parzen estimator), as optuna has it. The variant is not told to it, so
    that the trials drawn by chance are the same for all.
    """

    def __init__(self, params: Tune) -> None:
        optuna = optuna_quiet()
        self._space = params.space
        self._distributions = {
            path: _distribution(optuna, path, dimension) for path, dimension in sorted(params.space.items())
        }
        sampler = optuna.samplers.TPESampler(seed=params.seed, n_startup_trials=params.random)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._asked: Any = None

    def ask(self) -> dict[str, Choice]:
        """Return the next setting: param below `train` -> value, sorted by param."""
        self._asked = self._study.ask(self._distributions)
        return {path: _kept(self._asked.params[path], self._space[path]) for path in self._distributions}

    def tell(self, score: float | None) -> None:
        """Tell what the setting asked for last reached (0 to 1), None where it failed."""
        self._study.tell(self._asked, WORST if score is None else score)


def _distribution(optuna: ModuleType, path: str, dimension: Dimension) -> Any:
    if dimension.choices is not None:
        return optuna.distributions.CategoricalDistribution(tuple(dimension.choices))
    low, high = dimension.low, dimension.high
    assert low is not None and high is not None
    if number_kinds(path) == {int}:
        return optuna.distributions.IntDistribution(int(low), int(high), log=dimension.log)
    return optuna.distributions.FloatDistribution(float(low), float(high), log=dimension.log)


def _kept(value: Choice, dimension: Dimension) -> Choice:
    """Return a drawn number with the digits that are kept, inside its range."""
    if dimension.choices is not None or not isinstance(value, float):
        return value
    assert dimension.low is not None and dimension.high is not None
    return min(max(float(f"{value:.{DIGITS}g}"), float(dimension.low)), float(dimension.high))
