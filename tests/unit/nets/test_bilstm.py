"""The BiLSTM: masked steps are skipped, last states are torch's, an odd width is an error."""

from __future__ import annotations

import pytest
import torch

from foalnet.core.errors import UsageError
from foalnet.nets import Steps
from foalnet.nets.bilstm import BiLstm, final_states, last_step


def test_the_lstm_skips_masked_steps_and_gives_the_states_of_torch() -> None:
    torch.manual_seed(0)
    lstm = BiLstm(3, 4, param="width").eval()
    values_BTD = torch.randn(3, 5, 3)
    mask_BT = torch.tensor([[True, False, True, True, False], [False] * 5, [True] * 5])
    read = lstm(Steps(values_BTD=values_BTD, mask_BT=mask_BT))
    dense, (state_2Bd, _) = lstm.lstm(values_BTD[:1, [0, 2, 3]])
    torch.testing.assert_close(read.values_BTD[0, [0, 2, 3]], dense[0])
    assert bool((read.values_BTD[~mask_BT] == 0).all())
    whole = Steps(values_BTD=read.values_BTD[[0, 2]], mask_BT=mask_BT[[0, 2]])
    torch.testing.assert_close(final_states(whole)[0], state_2Bd[:, 0].flatten())
    torch.testing.assert_close(last_step(whole)[0], dense[0, -1])


def test_an_odd_width_is_an_error_that_names_the_param() -> None:
    with pytest.raises(UsageError, match="width of 7 cannot be halved") as caught:
        BiLstm(3, 7, param="train.audio.width")
    assert "train.audio.width" in str(caught.value.action)
