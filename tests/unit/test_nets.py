"""Parts of the networks against plain arithmetic, and their errors."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from foalnet.core.errors import UsageError
from foalnet.methods import FoalNet, build_net
from foalnet.nets import InputShape
from foalnet.nets.attention import AttentionStack, CrossAttention
from foalnet.nets.crops import CropCnn, OfGrey
from foalnet.nets.linear import Linear
from foalnet.nets.logmel import HOP_S, LogmelCnn
from foalnet.nets.masks import masked_mean, strided, zero_masked
from foalnet.nets.norm import MaskedBatchNorm
from foalnet.nets.project import Projection, unit
from foalnet.nets.tensors import Steps
from foalnet.train.batches import collate, eval_batches
from foalnet.train.encoders import prepared_store
from tests.support.corpus.stores import CLASSES, DIMS, RATE_HZ, SIDE_PX, make_params, make_store, with_sound

PICTURE = InputShape(rate_hz=RATE_HZ, frame=(3, SIDE_PX, SIDE_PX))
TABLE = InputShape(rate_hz=RATE_HZ, frame=(DIMS,))


def length_mask(length_B: torch.Tensor, steps: int) -> torch.Tensor:
    """True for the first `length_B` steps of each row."""
    return torch.arange(steps).unsqueeze(0) < length_B.unsqueeze(1)


@pytest.mark.long
def test_t66_mask_sums_equal_lengths_for_10000_random_masks() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        steps = int(torch.randint(1, 60, (1,), generator=generator))
        length_B = torch.randint(0, steps + 1, (100,), generator=generator)
        mask_BT = length_mask(length_B, steps)
        assert torch.equal(mask_BT.sum(dim=1), length_B)
        values_BTD = torch.randn(100, steps, 3, generator=generator)
        values_BTD[~mask_BT] = torch.nan
        mean_BD = masked_mean(values_BTD, mask_BT)
        for row in range(100):
            kept = values_BTD[row, : length_B[row]]
            expected = kept.mean(dim=0) if len(kept) else torch.zeros(3)
            torch.testing.assert_close(mean_BD[row], expected, rtol=0, atol=1e-5)
        for stride in (1, 2, 3):
            # Step j stands for steps from j * stride on, so a length of n leaves ceil(n / stride).
            assert torch.equal(strided(mask_BT, stride).sum(dim=1), -(-length_B // stride))


def test_zero_masked_clears_nan() -> None:
    values = torch.tensor([[[1.0], [torch.nan]]])
    assert zero_masked(values, torch.tensor([[True, False]])).tolist() == [[[1.0], [0.0]]]


def by_hand(attention: CrossAttention, query_TD: torch.Tensor, keys_SE: torch.Tensor, heads: int) -> torch.Tensor:
    """The layer for one utterance without padding, head by head, in numpy."""
    w = {name: p.detach().numpy() for name, p in attention.named_parameters()}
    q, k, v = (
        x @ w[f"{n}.weight"].T + w[f"{n}.bias"]
        for n, x in (("query", query_TD.numpy()), ("key", keys_SE.numpy()), ("value", keys_SE.numpy()))
    )
    size = q.shape[1] // heads
    out = []
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        scores = q[:, part] @ k[:, part].T / math.sqrt(size)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        out.append(weights / weights.sum(axis=1, keepdims=True) @ v[:, part])
    x = query_TD.numpy() + np.concatenate(out, axis=1) @ w["out.weight"].T + w["out.bias"]
    normed = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    return torch.from_numpy(normed * w["norm.weight"] + w["norm.bias"])


def test_cross_attention_is_the_formula_of_the_paper_and_ignores_padded_keys() -> None:
    torch.manual_seed(0)
    attention = CrossAttention(8, 6, heads=4, dropout=0.0)
    query_BTD, keys_BSE = torch.randn(2, 3, 8), torch.randn(2, 5, 6)
    mask_BS = torch.tensor([[True] * 5, [True, True, False, False, False]])
    actual = attention(query_BTD, keys_BSE, mask_BS).detach()
    torch.testing.assert_close(actual[0], by_hand(attention, query_BTD[0], keys_BSE[0], 4), rtol=0, atol=1e-5)
    torch.testing.assert_close(actual[1], by_hand(attention, query_BTD[1], keys_BSE[1, :2], 4), rtol=0, atol=1e-5)


def test_without_a_key_attention_is_the_norm_of_the_query() -> None:
    torch.manual_seed(0)
    attention = CrossAttention(8, 6, heads=2, dropout=0.0)
    torch.nn.init.constant_(attention.out.bias, 3.0)
    query_BTD = torch.randn(1, 3, 8)
    actual = attention(query_BTD, torch.randn(1, 2, 6), torch.tensor([[False, False]]))
    torch.testing.assert_close(actual, attention.norm(query_BTD))


def test_keys_of_every_layer_are_the_encoder_output() -> None:
    torch.manual_seed(0)
    stack = AttentionStack(8, 6, layers=2, heads=2, dropout=0.0)
    query = Steps(values_BTD=torch.randn(1, 3, 8), mask_BT=torch.tensor([[True, True, False]]))
    keys = Steps(values_BTD=torch.randn(1, 4, 6), mask_BT=torch.ones(1, 4, dtype=torch.bool))
    x_BTD = query.values_BTD
    for layer in stack.layers:
        x_BTD = layer(x_BTD, keys.values_BTD, keys.mask_BT)
    torch.testing.assert_close(stack(query, keys), x_BTD[:, :2].mean(dim=1))


def test_projection_is_the_formula_of_the_paper() -> None:
    torch.manual_seed(0)
    projection = Projection(5, 7, dropout=0.5).eval()
    assert [name for name, _ in projection.named_parameters() if "bias" in name] == ["norm.bias"]
    x = torch.randn(2, 5)
    first = x @ projection.linear1.weight.T
    gelu = first * 0.5 * (1 + torch.erf(first / math.sqrt(2)))
    total = first + gelu @ projection.linear2.weight.T
    expected = (total - total.mean(1, keepdim=True)) / (total.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(projection(x), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(unit(projection(x)).norm(dim=1), torch.ones(2))
    assert unit(torch.zeros(1, 4)).tolist() == [[0.0] * 4]


def test_the_scale_starts_at_one_by_007_and_stays_under_its_maximum() -> None:
    net = build_net("foal", make_params(), classes="abcd", shape=PICTURE)
    assert isinstance(net, FoalNet)
    batch = collate(list(make_store(groups=3, per_group=2).store.clips.values()))
    scale = net(batch).scale
    assert scale is not None and abs(float(scale.detach()) - 1 / 0.07) < 1e-4
    with torch.no_grad():
        net.log_scale.fill_(9.0)
    scale = net(batch).scale
    assert scale is not None and abs(float(scale.detach()) - 100.0) < 1e-3
    net.clamp_()
    assert abs(float(net.log_scale.detach()) - math.log(100.0)) < 1e-6


def test_mem_alone_does_not_teach_the_projections() -> None:
    net = build_net("mem", make_params(), classes="abcd", shape=PICTURE)
    frozen = {name.split(".")[0] for name, p in net.named_parameters() if not p.requires_grad}
    assert frozen == {"audio_projection", "video_projection", "log_scale"}
    assert all(p.requires_grad for p in build_net("foal", make_params(), classes="abcd", shape=PICTURE).parameters())


def test_the_hidden_layer_of_mem_is_twice_as_wide_and_no_default() -> None:
    plain = build_net("mem", make_params(), classes="abcd", shape=PICTURE).state_dict()
    assert plain["audio_match.weight"].shape == (2, 16)
    hidden = make_params(methods={"foal": {"match_head": "mlp"}})
    net = build_net("mem", hidden, classes="abcd", shape=PICTURE)
    shapes = [tuple(net.state_dict()[f"audio_match.{place}.weight"].shape) for place in (0, 2)]
    assert shapes == [(32, 16), (2, 32)]
    batch = collate(list(make_store(groups=3, per_group=2).store.clips.values()))
    steps = net.eval()(batch).encoded
    assert net.matched(steps["audio"], steps["video"]).shape == (6, 2)


def test_classifier_input_is_audio_side_then_video_side() -> None:
    net = build_net("baseline", make_params(), classes="abcd", shape=PICTURE)
    batch = collate(list(make_store(groups=3, per_group=2).store.clips.values()))
    out = net.eval()(batch)
    assert torch.equal(out.logits_BC, net.head(torch.cat([out.audio_BD, out.video_BE], dim=1)))


@pytest.mark.parametrize("samples", [1, 199, 200, 201, 640, 3201])
def test_logmel_gives_one_step_per_hop_and_a_twentieth_second(samples: int) -> None:
    params = make_params()
    encoder = LogmelCnn(params.audio, PICTURE)
    clip = next(iter(make_store().store.clips.values()))
    batch = collate([clip])
    short = collate([with_sound(clip, clip.parts["audio"].values[:samples].copy())])
    hop = round(HOP_S * RATE_HZ)
    steps = encoder.logmel(short)
    assert steps.mask_BT.shape == (1, -(-min(samples, len(clip.parts["audio"].values)) // hop)) and bool(
        steps.mask_BT.all()
    )
    assert encoder(short).mask_BT.shape[1] == -(-steps.mask_BT.shape[1] // 4)
    assert encoder(batch).values_BTD.shape[2] == params.audio.width


def test_logmel_energy_is_in_the_band_of_the_tone() -> None:
    params = make_params(audio={"mels": 40})
    encoder = LogmelCnn(params.audio, PICTURE)
    clip = next(iter(make_store().store.clips.values()))
    loudest = []
    for hz in (300.0, 1000.0, 4000.0):
        wave_N = np.sin(2 * np.pi * hz * np.arange(3200) / RATE_HZ).astype(np.float32)
        batch = collate([with_sound(clip, wave_N)])
        loudest.append(int(encoder.logmel(batch).values_BTD.mean(dim=1).argmax()))
    # Mel scale 2595 log10(1 + f / 700) from 60 to 7600 Hz in 41 steps of 67.7 mel: bands 4 or 5, 13, 29 or 30.
    assert loudest[0] in (3, 4, 5) and loudest[1] in (12, 13, 14) and loudest[2] in (28, 29, 30)


def test_statistics_are_of_the_batches_given_and_of_valid_steps_alone() -> None:
    synthetic = make_store(frame=(DIMS,))
    clips = list(synthetic.store.clips.values())[:5]
    encoder = Linear(make_params(video={"encoder": "linear"}).video, TABLE)
    encoder.fit([collate(clips[:2]), collate(clips[2:])])
    rows = np.concatenate([clip.parts["video"].values for clip in clips]).astype(np.float64)
    np.testing.assert_allclose(encoder.mean_X.numpy(), rows.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(encoder.deviation_X.numpy(), rows.std(axis=0), atol=1e-5)
    assert {"mean_X", "deviation_X"} <= set(encoder.state_dict())
    before = encoder.mean_X.clone()
    encoder.fit([])
    assert torch.equal(encoder.mean_X, before)


def test_logmel_statistics_do_not_depend_on_how_the_fold_is_cut_into_batches() -> None:
    clips = list(make_store().store.clips.values())[:6]
    statistics = []
    for size in (1, 4, 6):
        encoder = LogmelCnn(make_params().audio, PICTURE)
        encoder.fit(collate(clips[i : i + size]) for i in range(0, len(clips), size))
        statistics.append(torch.stack([encoder.mean_M, encoder.deviation_M]))
    torch.testing.assert_close(statistics[0], statistics[1], rtol=0, atol=1e-4)
    torch.testing.assert_close(statistics[0], statistics[2], rtol=0, atol=1e-4)


def test_the_convolution_of_grey_is_torchs_own() -> None:
    torch.manual_seed(1)
    convolution, plain = OfGrey(4), torch.nn.Conv2d(1, 4, 3, stride=2, padding=1)
    plain.load_state_dict(convolution.state_dict())
    x_V1HW = torch.randn(3, 1, 8, 6)
    torch.testing.assert_close(convolution(x_V1HW), plain(x_V1HW))
    assert convolution(x_V1HW[:0]).shape == (0, 4, 4, 3)


def test_a_crop_is_seen_without_its_exposure() -> None:
    clip = next(iter(make_store().store.clips.values()))
    encoder = CropCnn(make_params().video, PICTURE).eval()
    pictures = clip.parts["video"]
    dim = clip.put("video", replace(pictures, values=(pictures.values // 4 + 30).astype(np.uint8)))
    bright, dark = encoder.prepare(collate([clip])), encoder.prepare(collate([dim]))
    torch.testing.assert_close(bright, dark, rtol=0, atol=0.12)
    assert bright.shape[1:] == (1, 48, 48)


def test_frames_prepared_once_give_the_same_bytes() -> None:
    store = make_store(per_group=4, without_picture=1).store
    keys = sorted(store.clips)
    for augment in (False, True):
        params = make_params(video={"encoder": "crop_cnn", "augment": augment})
        net = build_net("video_only", params, classes=CLASSES, shape=store.shape).eval()
        ready = prepared_store(net, store, keys, pad_s=None)
        assert bool(ready.prepared) is not augment, "jittered frames are never the same"
        for live, made in zip(eval_batches(store, keys, 7), eval_batches(ready, keys, 7), strict=True):
            assert augment or "video" not in made.raw
            assert torch.equal(net(live).logits_BC, net(made).logits_BC)


@pytest.mark.parametrize(
    ("over", "named"),
    [
        ({"audio": {"encoder": "logmel_cn"}}, "logmel_cnn"),
        ({"video": {"encoder": "cropcnn"}}, "crop_cnn"),
        ({"methods": {"foal": {"heads": 3}}}, "methods.foal.heads"),
        ({"methods": {"foal": {"hedas": 3}}}, "did you mean 'heads'"),
        ({"variants": {"foal": {"method": "foil", "inputs": ["audio", "video"]}}}, "did you mean 'foal'"),
        ({"variants": {"foal": {"method": "foal", "inputs": ["audio"]}}}, "takes 2 of audio, video, not"),
        ({"variants": {"foal": {"method": "foal", "inputs": ["audio", "video"], "losses": {"avl": 0.0}}}}, "avel"),
        ({"video": {"encoder": "linear"}}, "crop_cnn"),
    ],
)
def test_parts_that_do_not_exist_or_fit_are_named(over: dict[str, dict[str, object]], named: str) -> None:
    with pytest.raises(UsageError, match=named) as caught:
        build_net("foal", make_params(**over), classes="abcd", shape=PICTURE)
    assert caught.value.action


def test_crops_refuse_feature_tables_and_an_unknown_variant_is_named() -> None:
    with pytest.raises(UsageError, match="linear"):
        build_net("video_only", make_params(), classes="abcd", shape=TABLE)
    with pytest.raises(UsageError, match="audio_only"):
        build_net("audio", make_params(), classes=CLASSES, shape=PICTURE)


def test_masked_batch_norm_sees_valid_steps_alone_and_is_torchs_own() -> None:
    torch.manual_seed(0)
    ours, theirs = MaskedBatchNorm(3), torch.nn.BatchNorm1d(3)
    values_BTD, mask_BT = torch.randn(4, 5, 3) * 3 + 1, length_mask(torch.tensor([5, 1, 3, 0]), 5)
    loud_BTD = torch.where(mask_BT[..., None], values_BTD, torch.tensor(1e6))
    torch.testing.assert_close(ours(loud_BTD, mask_BT)[mask_BT], theirs(values_BTD[mask_BT]), rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.mean_D, theirs.running_mean)
    # torch remembers the unbiased variance of 9 rows.
    torch.testing.assert_close((ours.variance_D - 0.9) * 9 / 8 + 0.9, theirs.running_var)
    ours.eval()
    alone = ours(loud_BTD[:1], mask_BT[:1])
    torch.testing.assert_close(ours(loud_BTD, mask_BT)[:1], alone)


def test_masked_batch_norm_forgets_a_batch_that_is_not_finite_and_bears_a_single_step() -> None:
    norm = MaskedBatchNorm(2)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    norm(torch.full((1, 3, 2), torch.nan), torch.ones(1, 3, dtype=torch.bool))
    assert bool(torch.isfinite(norm(torch.randn(1, 1, 2), torch.ones(1, 1, dtype=torch.bool))).all())
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())
