"""The method, params and network of a variant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from pydantic import ValidationError

from foalnet.config.base import faults, nearest
from foalnet.config.blocks import Train
from foalnet.config.variants import Modality
from foalnet.core.errors import UsageError
from foalnet.encoders import Pretrained
from foalnet.methods.base import Config, Method
from foalnet.methods.registry import METHODS
from foalnet.nets.encoder import Encoder, InputShape
from foalnet.nets.frozen import Frozen
from foalnet.nets.init import final_dropout, normal_
from foalnet.nets.registry import ENCODERS, PRETRAINED

T = TypeVar("T")


def method_of(variant: str, train: Train) -> type[Method]:
    """Return the method of a variant; UsageError (exit 2) if one of them is not known, or they do not fit together."""
    one = train.variant(variant)
    method = _lookup(METHODS, one.method, f"variants.{variant}.method")
    where = f"variants.{variant}"
    if unknown := sorted(set(one.losses) - set(method.losses)):
        raise UsageError(
            f"{where}.losses: method {one.method} has no {', '.join(unknown)}; {nearest(unknown[0], method.losses)}",
            action="correct it in params.yaml",
        )
    fewest, most = method.fewest, min(method.most, len(method.takes))
    known = set(one.inputs) <= set(method.takes) and len(set(one.inputs)) == len(one.inputs)
    if not known or not fewest <= len(one.inputs) <= most:
        number = str(most) if fewest == most else f"{fewest} to {most}"
        raise UsageError(
            f"{where}.inputs: method {one.method} takes {number} of {', '.join(method.takes)}, not {one.inputs}",
            action="correct it in params.yaml",
        )
    return method


def config_of(variant: str, train: Train) -> Config:
    """Return the params of a variant's method; UsageError (exit 2) names each wrong one."""
    return method_config(train.variant(variant).method, method_of(variant, train), train)


def method_config(name: str, method: type[Method], train: Train) -> Config:
    """Return the validated params of a method: those of `methods`, the rest by default."""
    try:
        return method.config_type.model_validate(train.methods.get(name, {}))
    except ValidationError as error:
        what = "\n".join(f"methods.{name}.{line}" for line in faults(method.config_type, error, None))
        raise UsageError(
            what, file="params.yaml", action="correct these keys and run the same command again"
        ) from error


def weights_of(variant: str, train: Train) -> dict[str, float]:
    """Return the losses of a variant that are on, with their weights, in the method's order."""
    config, own = config_of(variant, train), train.variant(variant).losses
    losses = method_of(variant, train).losses
    weights = {name: own.get(name, getattr(config, field)) for name, field in losses.items()}
    return {name: weight for name, weight in weights.items() if weight}


def build_net(
    variant: str, params: Train, *, classes: Sequence[str], shape: InputShape, pretrained: Pretrained | None = None
) -> Method:
    """Return the untrained network of a variant, initialised from torch's global generator.

    `pretrained`: the audio encoder, required if `needs_weights`; its weights are loaded if it has a folder. UsageError
    (exit 2) names an unknown encoder, method or variant, and parts that do not fit together.
    """
    method, config, one = method_of(variant, params), config_of(variant, params), params.variant(variant)
    params, config = _with_dropouts(params, config, one.method, pretrained)
    encoders = {modality: _encoder(modality, params, shape, pretrained) for modality in one.inputs}
    if params.encoders == "single" and len(encoders) > 1:
        encoders = {m: Frozen(encoder, m, getattr(params, m).dropout) for m, encoder in encoders.items()}
    build: Callable[..., Method] = method
    net = build(encoders, config, weights=weights_of(variant, params), classes=classes)
    if params.init == "normal":
        normal_(net)
    return net


def _encoder(modality: Modality, params: Train, shape: InputShape, pretrained: Pretrained | None) -> Encoder:
    block = getattr(params, modality)
    known = {**ENCODERS[modality], **PRETRAINED[modality]}
    kind = _lookup(known, block.encoder, f"train.{modality}.encoder")
    if block.encoder not in PRETRAINED[modality]:
        return kind(block, shape)
    if pretrained is None:
        raise UsageError(
            f"encoder {block.encoder} needs published weights, and none were given",
            action="pass build_net the result of foalnet.encoders.open_weights or Pretrained.from_facts",
        )
    return kind(block, shape, pretrained)


def _with_dropouts(params: Train, config: Config, method: str, pretrained: Pretrained | None) -> tuple[Train, Config]:
    """Return params with null dropouts replaced by `final_dropout` of the pretrained sound encoder's config.

    UsageError (exit 2) names a null if there is no such encoder.
    """
    for block in ENCODERS:
        if getattr(params, block).dropout is None:
            rate = final_dropout(pretrained, f"train.{block}.dropout")
            params = params.model_copy(update={block: getattr(params, block).model_copy(update={"dropout": rate})})
    if config.head_dropout is None:
        rate = final_dropout(pretrained, f"methods.{method}.head_dropout")
        config = config.model_copy(update={"head_dropout": rate})
    return params, config


def needs_weights(variant: str, params: Train) -> bool:
    """Return whether a variant's network uses published weights, or a dropout from their config."""
    hears = "audio" in params.variant(variant).inputs
    others = [getattr(params, modality).dropout for modality in ENCODERS if modality != "audio"]
    nulls = None in (*others, config_of(variant, params).head_dropout)
    return (hears or nulls) and params.audio.encoder in PRETRAINED["audio"]


def _lookup(registry: Mapping[str, T], name: str, key: str) -> T:
    if name not in registry:
        raise UsageError(
            f"{key}: '{name}' is not known; {nearest(name, registry)}",
            action="correct it in params.yaml and run the same command again",
        )
    return registry[name]
