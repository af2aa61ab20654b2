"""In which precision products are computed in training: a param, and what the device makes of it.

Losses, norms and the weights themselves stay in float32 (torch's autocast); fp16 needs its gradients scaled.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


def dtype_of(asked: str, device: torch.device) -> torch.dtype:
    """Return the type of products: `auto` is bf16 on a GPU that has it, else fp32 (METHOD, `precision`)."""
    if asked == "auto":
        has = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if has else torch.float32
    return {name: dtype for dtype, name in NAMES.items()}[asked]


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
    def of(cls, asked: str, device: torch.device, state: Mapping[str, Any] | None = None) -> Precision:
        """Return what params ask for on this device; `state`: where the search for a scale stands."""
        dtype, scaler = dtype_of(asked, device), None
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
        """True where a gradient that is not finite is a step of the search, not a fault."""
        return self.scaler is not None

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which a network and its objective are computed."""
        return nullcontext() if self.dtype == torch.float32 else torch.autocast(self.device, dtype=self.dtype)

    def scaled(self, loss: Tensor) -> Tensor:
        """Return the loss to go backward from."""
        return loss if self.scaler is None else self.scaler.scale(loss)

    def unscale_(self, optim: torch.optim.Optimizer) -> None:
        """Bring the gradients back to their size."""
        if self.scaler is not None:
            self.scaler.unscale_(optim)

    def step(self, optim: torch.optim.Optimizer) -> None:
        """Let the optimiser step; where fp16's gradients were not finite it does not, and the scale is lowered."""
        if self.scaler is None:
            optim.step()
        else:
            self.scaler.step(optim)
            self.scaler.update()

    def state(self) -> dict[str, float]:
        """Return where the search for a scale stands, {} without one."""
        return {} if self.scaler is None else dict(self.scaler.state_dict())
