"""The params block of `foalnet tune`: which params are searched, in which ranges, with which budget."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from foalnet.config.base import Frozen
from foalnet.config.blocks import Choice, Count, Seed


class Dimension(Frozen):
    """The values of one searched param: a range of numbers with both ends, or a list of choices."""

    low: int | float | None = None
    high: int | float | None = None
    log: bool = Field(False, description="values are drawn uniformly over the logarithm")
    choices: list[Choice] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Dimension:
        if self.choices is not None:
            if (self.low, self.high, self.log) != (None, None, False) or len(self.choices) < 2:
                raise ValueError("choices: write at least two of them, without low, high and log")
        elif self.low is None or self.high is None or self.low >= self.high or (self.log and self.low <= 0):
            raise ValueError("a range needs low below high, and both above 0 if log is true; or write choices")
        return self


class Tune(Frozen):
    """The search of `foalnet tune` (docs/method.md): all variants get the same space, budget and seed."""

    space: dict[str, Dimension] = Field(
        default_factory=dict, description="param below `train` -> {low, high, log} or {choices}; an entry's replaces it"
    )
    trials: Count = Field(10, description="budget: number of settings that are trained and scored for each variant")
    random: Count = Field(5, description="trials drawn at random, the same for all variants; TPE draws the rest")
    seed: Seed = Field(1, description="seed of the draws")
    variants: list[str] | None = Field(None, description="which variants are searched; null: all of the corpus")
    seeds: Annotated[list[Seed], Field(min_length=1)] = Field(
        default_factory=lambda: [1], description="seeds of the runs of each trial; their scores are averaged"
    )
