"""The interface of a method; docs/add-a-method.md shows how to add one.

A method is one system of the literature: its params (`Config`), the modalities that it takes, its network, its losses
besides the cross-entropy. Encoders, optimiser, folds and seeds are shared, so that two methods differ in nothing else.
Shape letters: B utterances, C classes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from pydantic import Field
from torch import Tensor, nn

from foalnet.config.base import Frozen
from foalnet.config.blocks import Dropout, Width
from foalnet.config.variants import Modality
from foalnet.nets.encoder import Encoder, chance
from foalnet.nets.stem import Stem
from foalnet.nets.tensors import Encoded, Inputs, Outputs, Steps


def param(default: Any, says: str, *, unit: str = "", source: str = "ours", losses: Collection[str] = ()) -> Any:
    """Return the field of a param: its default, meaning, unit ("" for a plain number or text) and source.

    `losses`: the param has an effect only if one of these losses is on.
    """
    return Field(default, description=says, json_schema_extra={"unit": unit, "source": source, "losses": list(losses)})


# What a method learns besides the classes: to find the picture that fits a sound, to match a sound with a picture.
OwnTask = Literal["retrieval", "matching"]


class Config(Frozen):
    """Params of a method, a block below `methods` in params.yaml; a method adds its own to this one."""

    head_dropout: Dropout | None = param(
        0.1,
        "before the classifier; null: `final_dropout` of the pretrained sound encoder's config",
        unit="probability",
        source="paper's released code, training",
    )


@dataclass(frozen=True, kw_only=True)
class Losses:
    """A method's losses besides the cross-entropy, by name and unweighted, and counts of what they left out."""

    losses: Mapping[str, Tensor]
    counts: Mapping[str, int]


class Method(nn.Module):
    """A network that turns encoded modalities into logits; it gets labels in `own_losses` alone, never in `forward`.

    `takes`: the modalities that it can use, `fewest` to `most` of them at once. `losses`: name of each loss besides the
    cross-entropy -> the param that is its weight. `counts`: names of the counts in `Losses`. `weights`: the losses that
    are on, with their weights. `over_turns`: a batch has whole dialogues, with `Inputs.turns`; the turns without a
    class are there as context, and their labels are UNSCORED. `explained`: name in `Outputs.explain` -> its columns.
    `own_tasks`: the tasks of its own losses that `aligned` and `matched` answer; foalnet.train.own_tasks measures them.
    """

    config_type: ClassVar[type[Config]] = Config
    takes: ClassVar[tuple[Modality, ...]] = get_args(Modality)
    fewest: ClassVar[int] = 1
    most: ClassVar[int] = 3
    losses: ClassVar[Mapping[str, str]] = {}
    counts: ClassVar[tuple[str, ...]] = ()
    over_turns: ClassVar[bool] = False
    explained: Mapping[str, Sequence[str]] = {}
    own_tasks: Collection[OwnTask] = ()

    def __init__(self, encoders: Mapping[Modality, Encoder], *, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.inputs, self.weights = tuple(encoders), dict(weights)
        for modality, encoder in encoders.items():
            self.add_module(self.name_of(modality), encoder)

    @classmethod
    def name_of(cls, modality: Modality) -> str:
        """Return the name of a modality's encoder in the network and its checkpoints."""
        return modality

    @property
    def encoders(self) -> dict[Modality, Encoder]:
        """The encoders by modality."""
        return {modality: self.get_submodule(self.name_of(modality)) for modality in self.inputs}  # type: ignore[misc]

    def encode(self, inputs: Inputs) -> Encoded:
        """Return the encoders' steps by modality."""
        return {modality: encoder(inputs) for modality, encoder in self.encoders.items()}

    def forward(self, inputs: Inputs) -> Outputs:
        """Return logits_BC and what `own_losses` needs; a row depends on its own utterance (or dialogue) alone."""
        raise NotImplementedError

    def own_losses(self, outputs: Outputs, label_B: Tensor) -> Losses:  # noqa: ARG002
        """Return the method's own losses of a batch; the default has none."""
        return Losses(losses={}, counts={})

    def aligned(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """Return unit vectors of sound and of picture, [B, P] each, of a method with the task `retrieval`."""
        raise NotImplementedError

    def matched(self, audio: Steps, video: Steps) -> Tensor:
        """Return for pairs of encoded sound and picture how surely both show one emotion, [B, V]; above 0 is yes.

        V: the views of the pair that a method with the task `matching` has. A pair without a picture has no meaning.
        """
        raise NotImplementedError

    def columns(self, name: str, count: int) -> list[str]:
        """Return the names of an explanation's columns: those of `explained`, or numbers from 1."""
        return list(self.explained.get(name, map(str, range(1, count + 1))))

    def clamp_(self) -> None:
        """Limit parameters after a step; the default has no limit."""


class FusionConfig(Config):
    """Params that the fusions of the comparison share: the stem before them."""

    width: Width = param(256, "width of every modality after the stem, and of the fusion")
    stem_dropout: Dropout = param(0.1, "on the output of the stem", unit="probability")


class Fusion(Method):
    """A method of two or more modalities that reads them through the shared stem."""

    config_type: ClassVar[type[Config]] = FusionConfig
    fewest: ClassVar[int] = 2

    def __init__(
        self, encoders: Mapping[Modality, Encoder], config: FusionConfig, *, weights: Mapping[str, float]
    ) -> None:
        super().__init__(encoders, weights=weights)
        self.stem = Stem(encoders, config.width, dropout=chance(config.stem_dropout))

    def stemmed(self, inputs: Inputs) -> tuple[Encoded, dict[Modality, Steps]]:
        """Return the encoders' steps, and the stem's: of every modality and utterance at least one valid step."""
        encoded = self.encode(inputs)
        return encoded, self.stem(encoded)


def classifier(width: int, classes: Sequence[str], config: Config) -> nn.Sequential:
    """Return the classifier that all methods share: dropout and one linear layer, [B, width] to [B, C]."""
    return nn.Sequential(nn.Dropout(chance(config.head_dropout)), nn.Linear(width, len(classes)))
