"""The floor: the classifier reads the means of the modalities side by side."""

from __future__ import annotations

import torch

from foalnet.methods.concat import Concat
from foalnet.nets.masks import masked_mean
from tests.support.switches import four_clips, fusion


def test_the_classifier_reads_the_mean_of_the_sound_then_that_of_the_picture() -> None:
    net, (_, batch) = fusion("concat").eval(), four_clips()
    assert isinstance(net, Concat)
    stemmed = net.stem(net.encode(batch))
    audio_BD, video_BD = (masked_mean(stemmed[m].values_BTD, stemmed[m].mask_BT) for m in ("audio", "video"))
    assert torch.equal(net(batch).logits_BC, net.head(torch.cat([audio_BD, video_BD], dim=1)))
    torch.testing.assert_close(video_BD[1], net.stem.missing["video"], rtol=0.0, atol=1e-7)
