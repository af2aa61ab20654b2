"""The precision of products in training, from the param and the device.

Losses, norms and weights stay in float32 (torch's autocast); fp16 needs scaled gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


def dtype_of(requested: str, device: torch.device) -> torch.dtype:
    """Return the type of products: `auto` is bf16 on a GPU that has it, else fp32 (docs/method.md)."""
    if requested == "auto":
        has = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if has else torch.float32
    return {name: dtype for dtype, name in NAMES.items()}[requested]


@dataclass(frozen=True, kw_only=True)
class Precision:
    """The type of products, and the search for a gradient scale that fp16 needs (None for the others)."""

    device: str
    dtype: torch.dtype
    scaler: torch.amp.GradScaler | None = None

    @classmethod
    def plain(cls) -> Precision:
        """Return float32."""
        return cls(device="cpu", dtype=torch.float32)

    @classmethod
    def of(cls, name: str, device: torch.device, state: Mapping[str, Any] | None = None) -> Precision:
        """Return the precision of a param on this device; `state`: the saved state of the search for a scale."""
        dtype, scaler = dtype_of(name, device), None
        if dtype == torch.float16:
            scaler = torch.amp.GradScaler(device.type)
            if state:
                scaler.load_state_dict(dict(state))
        return cls(device=device.type, dtype=dtype, scaler=scaler)

    @property
    def name(self) -> str:
        """fp32, bf16 or fp16."""
        return NAMES[self.dtype]

    @property
    def searches(self) -> bool:
        """True if a non-finite gradient is a step of the search for a scale, not a fault."""
        return self.scaler is not None

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context for computing a network and its objective."""
        return nullcontext() if self.dtype == torch.float32 else torch.autocast(self.device, dtype=self.dtype)

    def scaled(self, loss: Tensor) -> Tensor:
        """Return the loss, scaled if needed, for the backward pass."""
        return loss if self.scaler is None else self.scaler.scale(loss)

    def unscale_(self, optim: torch.optim.Optimizer) -> None:
        """Undo the scaling of the gradients."""
        if self.scaler is not None:
            self.scaler.unscale_(optim)

    def step(self, optim: torch.optim.Optimizer) -> None:
        """Let the optimiser step; if fp16's gradients are not finite, skip the step and lower the scale."""
        if self.scaler is None:
            optim.step()
        else:
            self.scaler.step(optim)
            self.scaler.update()

    def state(self) -> dict[str, float]:
        """Return the state of the search for a scale, {} without one."""
        return {} if self.scaler is None else dict(self.scaler.state_dict())
