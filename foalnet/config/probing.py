"""The params block `probe`: what is done to the clips, and how many training sessions a learning curve has."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from foalnet.config.base import Frozen
from foalnet.config.blocks import Count, Seconds, Seed

Decibels = Annotated[float, Field(ge=-60.0, le=100.0)]
Part = Annotated[float, Field(gt=0.0, lt=1.0)]


class Probe(Frozen):
    """One entry of the block `probe`, named after its corpus: how its trained runs are probed (docs/probe.md)."""

    variants: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="which variants are probed; null: all of the corpus"
    )
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = Field(
        None, description="which seeds are probed; null: all of the corpus"
    )
    snr_db: list[Decibels] = Field(
        default=[20.0, 10.0, 0.0], description="power of the sound over that of the added white noise, dB"
    )
    frames_missing: Part = Field(0.5, description="share of an utterance's frames that are taken away")
    shift_s: Seconds = Field(0.5, description="how much later the sound comes than the picture")
    permutations: Annotated[int, Field(ge=20, le=100_000)] = Field(
        200, description="permutations of the test labels within each speaker"
    )
    seed: Seed = Field(7, description="seed of noise, frames, other faces and permutations")
    learning_curve: bool = Field(False, description="train with fewer sessions too")
    sessions: Annotated[list[Count], Field(min_length=1)] = Field(
        default=[1, 2], description="numbers of training sessions of the learning curve, besides all of them"
    )
