"""The optimiser, its learning rate over the steps, and one training step, skipped if a number is not finite."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from foalnet.config.blocks import Train
from foalnet.methods import Loss, Method, Objective
from foalnet.nets import Batch, PretrainedEncoder
from foalnet.train.precision import Precision


def optimizer(net: nn.Module, params: Train) -> torch.optim.AdamW:
    """Return AdamW over all trainable parameters; `decay_on` says which of them decay (docs/method.md).

    Pretrained encoders learn at `lr_encoder`, with the same schedule as the rest.
    """
    tuned = {id(p) for part in net.modules() if isinstance(part, PretrainedEncoder) for p in part.tuned.parameters()}
    learning = [p for p in net.parameters() if p.requires_grad]
    groups = _groups([p for p in learning if id(p) not in tuned], params, share=1.0)
    if tuned:
        share = (params.lr_encoder or params.lr) / params.lr
        groups += _groups([p for p in learning if id(p) in tuned], params, share=share)
    return torch.optim.AdamW(groups, lr=params.lr, fused=True)


def _groups(learning: list[nn.Parameter], params: Train, *, share: float) -> list[dict[str, Any]]:
    """Return the group with and the group without weight decay; their learning rate is `share` of the rate."""
    # A parameter with one axis longer than 1 at most is a bias, a norm, a scale, or a gate's constant.
    decays = [p.numel() > max(p.shape, default=1) or params.decay_on == "all" for p in learning]
    return [
        {
            "params": [p for p, yes in zip(learning, decays, strict=True) if yes == wanted],
            "weight_decay": params.weight_decay if wanted else 0.0,
            "share": share,
        }
        for wanted in (True, False)
    ]


def rate(step: int, steps: int, params: Train) -> float:
    """Return the learning rate of a step (from 0) of `steps`: linear warm-up, then a cosine down to `lr_end` of it.

    Schedule `constant`: `lr` at every step, as in the released code.

    >>> params = Train(lr=0.5, warmup=0.0, lr_end=0.0, schedule="cosine")
    >>> [round(rate(step, 10, params), 3) for step in (0, 5)]
    [0.5, 0.25]
    """
    if params.schedule == "constant":
        return params.lr
    warm = params.warmup * steps
    if step < warm:
        return params.lr * (step + 1) / (math.ceil(warm) + 1)
    done = (step - warm) / max(1.0, steps - warm)
    return params.lr * (params.lr_end + (1 - params.lr_end) * 0.5 * (1 + math.cos(math.pi * done)))


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """One step: its loss, or None if it was skipped because loss or gradient was not finite."""

    loss: Loss | None


def take_step(
    net: Method,
    batch: Batch,
    objective: Objective,
    optim: torch.optim.Optimizer,
    *,
    lr: float,
    clip_norm: float | None,
    precision: Precision | None = None,
    reduce: Callable[[Loss], Loss] | None = None,
) -> StepResult:
    """Train on one batch; change nothing if loss or gradient is not finite, and return a loss of None.

    `precision` None: float32. In fp16 a gradient that overflows only lowers the scale. `reduce` averages the gradients
    of several processes and returns their mean loss: a non-finite number on one process makes it non-finite on all, so
    that all skip the step.
    """
    precision = precision or Precision.plain()
    assert batch.label_B is not None
    for group in optim.param_groups:
        group["lr"] = lr * group["share"]
    optim.zero_grad(set_to_none=True)
    with precision.autocast():
        loss = objective(net, net(batch), batch.label_B, batch.affect_BE)
    if reduce is None and not bool(torch.isfinite(loss.total)):
        return StepResult(loss=None)
    precision.scaled(loss.total).backward()
    if reduce is not None:
        loss = reduce(loss)
        if not bool(torch.isfinite(loss.total)):
            return StepResult(loss=None)
    precision.unscale_(optim)
    norm = nn.utils.clip_grad_norm_(net.parameters(), math.inf if clip_norm is None else clip_norm)
    if not bool(torch.isfinite(norm)) and not precision.searches:
        return StepResult(loss=None)
    precision.step(optim)
    net.clamp_()
    return StepResult(loss=loss)
