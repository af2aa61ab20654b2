"""The concordance correlation loss, 1 - CCC (Lin, Biometrics 1989), for valence and activation.

CCC = 2 cov(x, y) / (var x + var y + (mean x - mean y)^2), with moments over all rows, each divided by their number.
Shape letters: K rows of this process, G rows of all processes, E dimensions (valence, activation).
"""

from __future__ import annotations

import torch
from torch import Tensor

from foalnet.nets.gather import gather_rows


def ccc_loss(predicted_KE: Tensor, target_KE: Tensor) -> Tensor:
    """Return 1 - CCC of each dimension over the rows of all processes, [E], the same on every process.

    The mean over processes of its gradients is the gradient of one process with all rows. A target that is NaN takes no
    part. A dimension without a target has the loss 0; one without any variance and difference 1.

    >>> x_KE, y_KE = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [3.0]])
    >>> ccc_loss(x_KE, y_KE)  # 1 - 2 * 1 / (1 + 1 + 1)
    tensor([0.3333])
    """
    x_GE, y_GE = gather_rows(predicted_KE.to(target_KE.dtype)), gather_rows(target_KE)
    used_GE = ~y_GE.isnan()
    number_E = used_GE.sum(dim=0)

    def mean_E(values_GE: Tensor) -> Tensor:
        return torch.where(used_GE, values_GE, 0.0).sum(dim=0) / number_E.clamp(min=1)

    y_GE = torch.where(used_GE, y_GE, 0.0)
    mean_x_E, mean_y_E = mean_E(x_GE), mean_E(y_GE)
    from_x_GE, from_y_GE = x_GE - mean_x_E, y_GE - mean_y_E
    variances_E = mean_E(from_x_GE.square()) + mean_E(from_y_GE.square())
    spread_E = variances_E + (mean_x_E - mean_y_E).square()
    ccc_E = 2 * mean_E(from_x_GE * from_y_GE) / spread_E.clamp(min=torch.finfo(spread_E.dtype).tiny)
    return torch.where(number_E > 0, 1 - ccc_E, 0.0)
