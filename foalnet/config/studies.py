"""A study: many variants and seeds of one corpus, trained as one stage and compared on one page (docs/study.md)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from foalnet.config.base import Frozen
from foalnet.config.blocks import Choice, Fraction, Pair, Seed


class Study(Frozen):
    """One entry of the block `studies`."""

    corpus: str = Field(description="an entry of `corpora`")
    variants: Annotated[list[str], Field(min_length=2)] = Field(description="what is trained")
    seeds: Annotated[list[Seed], Field(min_length=1)] = Field(description="seeds of every variant")
    reference: str = Field(description="the variant with which every other one is compared")
    compare: list[Pair] = Field(default=[], description="more pairs (a, b): a minus b")
    margin: Fraction = Field(0.02, description="two variants count as equal if their UA surely differs by less")
    train: dict[str, Any] = Field(
        default_factory=dict, description="params of `train` for all its variants, in place of the corpus' own"
    )
    settings: dict[str, dict[str, Choice]] = Field(
        default_factory=dict, description="variant -> param below `train` -> value, such as `foalnet tune` prints"
    )
    search: Annotated[int, Field(ge=0, le=256)] = Field(
        0, description="points of learning rate, weight decay and dropout that every variant tries before; 0: none"
    )
    search_folds: Annotated[int, Field(ge=1, le=1024)] = Field(
        1, description="folds, from the first one on, by the dev parts of which the points are scored"
    )
