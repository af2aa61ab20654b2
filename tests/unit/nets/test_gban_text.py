"""GBAN's text encoder: the paper's sizes, words pooled in pairs, words alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from foalnet.config.blocks import TextEncoder
from foalnet.core.errors import UsageError
from foalnet.nets import Inputs, InputShape, Steps
from foalnet.nets.gban_text import GbanText
from foalnet.nets.hashed import pieces_of

SHAPE = InputShape(rate_hz=16000, frame=(4,))


def words(*texts: str) -> Inputs:
    hashes = [torch.from_numpy(pieces_of(text)) for text in texts]
    longest = max(len(each) for each in hashes)
    values = torch.stack([F.pad(each, (0, 0, 0, longest - len(each))) for each in hashes])
    mask_BT = torch.arange(longest) < torch.tensor([len(each) for each in hashes])[:, None]
    return Inputs(raw={"text": Steps(values_BTD=values, mask_BT=mask_BT)})


def test_the_papers_sizes_at_width_256() -> None:
    encoder = GbanText(TextEncoder(width=256), SHAPE)
    assert [tuple(conv.weight.shape) for conv in encoder.convs] == [(128, 300, 2), (128, 300, 3), (128, 300, 4)]
    lstm = encoder.lstm.lstm
    assert (encoder.width, lstm.input_size, lstm.hidden_size, lstm.bidirectional) == (256, 384, 128, True)


def test_words_are_pooled_in_pairs_and_a_last_one_alone() -> None:
    encoder = GbanText(TextEncoder(width=8), SHAPE).eval()
    out = encoder(words("one two three", "one two three four five", ""))
    assert out.mask_BT.sum(dim=1).tolist() == [2, 3, 0]
    x_BET = encoder.table.weight.new_zeros(1, 300, 3)
    for place, word in enumerate(("one", "two", "three")):
        pieces = torch.from_numpy(pieces_of(word))[0]
        x_BET[0, :, place] = encoder.table(pieces[pieces >= 0] % 8192).mean(dim=0)
    # "same" padding of even kernels: one zero less before than after; then the maxima of words 1 and 2, and of 3.
    each = [conv(F.pad(x_BET, pad)).relu() for conv, pad in zip(encoder.convs, [(0, 1), (1, 1), (1, 2)], strict=True)]
    words_TD = torch.cat(each, dim=1)[0].T
    pooled_TD = torch.stack([words_TD[:2].amax(dim=0), words_TD[2]])
    expected_TD = encoder.lstm.lstm(pooled_TD[None])[0][0]
    torch.testing.assert_close(out.values_BTD[0, :2], expected_TD, rtol=0.0, atol=1e-6)


def test_vectors_of_text_are_an_error_by_name() -> None:
    with pytest.raises(UsageError, match="gban reads the words themselves"):
        GbanText(TextEncoder(), InputShape(rate_hz=16000, frame=(4,), text=3))
