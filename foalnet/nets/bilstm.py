"""A bidirectional LSTM over valid steps, and its last states.

Shape letters: B utterances or dialogues, T steps or turns, D width, H = D / 2 the width of each direction.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from foalnet.core.errors import UsageError
from foalnet.nets.tensors import Steps


class BiLstm(nn.Module):
    """The outputs of both directions side by side, forward first; masked steps are skipped, and 0 in the result."""

    def __init__(self, width_in: int, width: int, *, param: str, layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        if width % 2:
            raise UsageError(
                f"a width of {width} cannot be halved for the two directions of an LSTM",
                action=f"set {param} to an even number",
            )
        between = dropout if layers > 1 else 0.0
        self.lstm = nn.LSTM(width_in, width // 2, layers, batch_first=True, bidirectional=True, dropout=between)

    def forward(self, steps: Steps) -> Steps:
        """Return the steps read, [B, T, D], with the same mask."""
        mask_BT = steps.mask_BT
        length_B = mask_BT.sum(dim=1)
        # The valid steps first: a step that is masked between two others is no step of the LSTM.
        first_BT = torch.arange(mask_BT.shape[1], device=mask_BT.device) < length_B[:, None]
        dense_BTD = torch.zeros_like(steps.values_BTD)
        dense_BTD[first_BT] = steps.values_BTD[mask_BT]
        # A sequence without a step is read as one step, which the mask then removes.
        lengths = length_B.clamp(min=1).cpu()
        packed = pack_padded_sequence(dense_BTD, lengths, batch_first=True, enforce_sorted=False)
        read_BTD, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=mask_BT.shape[1])
        values_BTD = torch.zeros_like(read_BTD)
        values_BTD[mask_BT] = read_BTD[first_BT]
        return Steps(values_BTD=values_BTD, mask_BT=mask_BT)


def last_step(steps: Steps) -> Tensor:
    """Return the last valid step, [B, D]; every sequence needs a step."""
    rank_BT = steps.mask_BT.cumsum(dim=1)
    return steps.values_BTD[steps.mask_BT & (rank_BT == rank_BT[:, -1:])]


def final_states(steps: Steps) -> Tensor:
    """Return the last state of each direction of a BiLSTM's steps, [B, D]: forward at the end, backward at the start.

    >>> values_BTD = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]])
    >>> final_states(Steps(values_BTD=values_BTD, mask_BT=torch.tensor([[True, True, False]]))).tolist()
    [[3.0, 2.0]]
    """
    first_BD = steps.values_BTD[steps.mask_BT & (steps.mask_BT.cumsum(dim=1) == 1)]
    half = steps.values_BTD.shape[2] // 2
    return torch.cat([last_step(steps)[:, :half], first_BD[:, half:]], dim=1)
