"""Precision of training: what each word means on a device, T78's band, a search for a scale that survives a stop."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from foalnet.core.errors import Interrupted
from foalnet.methods import Objective, build_net
from foalnet.nets.losses import similarity
from foalnet.train.batches import collate
from foalnet.train.environment import Stop
from foalnet.train.fold import train_fold
from foalnet.train.optim import optimizer, take_step
from foalnet.train.precision import Precision, dtype_of
from tests.support.corpus.stores import CLASSES, make_params, make_run, make_store

CPU = torch.device("cpu")


def test_auto_is_float32_where_there_is_no_gpu() -> None:
    assert dtype_of("auto", CPU) == torch.float32
    assert [dtype_of(name, CPU) for name in ("fp32", "bf16", "fp16")] == [torch.float32, torch.bfloat16, torch.float16]
    assert Precision.of("auto", CPU).name == "fp32" and Precision.of("auto", CPU).scaler is None
    assert Precision.of("fp16", CPU).searches and Precision.of("bf16", CPU).state() == {}


@pytest.mark.parametrize("variant", ["audio_only", "video_only", "foal"])
@pytest.mark.parametrize(("requested", "band"), [("bf16", 0.05), ("fp16", 0.01)])
def test_t78_reduced_precision_stays_within_a_band_of_float32(variant: str, requested: str, band: float) -> None:
    """bf16 has 8 bits of mantissa, fp16 has 11: logits near 1 move by little more than their rounding."""
    synthetic = make_store(groups=1, per_group=8)
    batch = collate(list(synthetic.store.clips.values()))
    torch.manual_seed(0)
    net = build_net(variant, make_params(), classes="abcd", shape=synthetic.store.shape).eval()
    for encoder in net.encoders.values():
        encoder.fit([batch])
    with torch.no_grad():
        exact_BC = net(batch).logits_BC
        with Precision.of(requested, CPU).autocast():
            rough_BC = net(batch).logits_BC
    assert rough_BC.dtype != torch.float32
    assert 0 < float((rough_BC.float() - exact_BC).abs().max()) < band


def test_similarities_are_never_rounded() -> None:
    unit_BE = torch.nn.functional.normalize(torch.randn(6, 128, generator=torch.Generator().manual_seed(0)), dim=1)
    expected = similarity(unit_BE, unit_BE, torch.tensor(100.0))
    with Precision.of("bf16", CPU).autocast():
        assert torch.equal(similarity(unit_BE, unit_BE, torch.tensor(100.0)), expected)


@pytest.mark.long
def test_fp16_lowers_its_scale_where_a_gradient_overflows_and_learns_where_none_does() -> None:
    synthetic = make_store(groups=1, per_group=8)
    labels = {key: CLASSES.index(label) for key, label in synthetic.labels.items()}
    batch = collate(list(synthetic.store.clips.values()), labels)
    params = make_params()
    torch.manual_seed(0)
    net = build_net("foal", params, classes="abcd", shape=synthetic.store.shape)
    optim = optimizer(net, params)
    objective = Objective()
    precision = Precision.of("fp16", CPU, {**Precision.of("fp16", CPU).state(), "scale": 2.0**40})
    assert precision.scaler is not None
    scales, losses = [], []
    for _ in range(60):
        result = take_step(net, batch, objective, optim, lr=1e-3, clip_norm=None, precision=precision)
        assert result.loss is not None, "an overflow is a step of the search, no fault"
        scales.append(precision.scaler.get_scale())
        losses.append(float(result.loss.total.detach()))
    assert scales[0] == 2.0**39 and scales[-1] < 2.0**30 and scales[-1] == scales[-2]
    assert losses[-1] < losses[0]


def test_t77_a_stopped_fp16_run_goes_on_with_its_scale(tmp_path: Path) -> None:
    synthetic = make_store(groups=3, per_group=8)
    run = make_run(synthetic, "foal", params=make_params(precision="fp16", epochs=3, patience=3))
    task = run.task(run.folds[0], synthetic.store)
    straight = train_fold(task, synthetic.store, tmp_path / "straight", device=CPU, stop=Stop())
    stop = Stop()
    with pytest.raises(Interrupted):
        train_fold(
            task,
            synthetic.store,
            tmp_path / "state",
            device=CPU,
            stop=stop,
            before=lambda p: stop.request() if p.epochs else None,
        )
    resumed = train_fold(task, synthetic.store, tmp_path / "state", device=CPU, stop=Stop())
    assert straight.scaler != Precision.of("fp16", CPU).state() and resumed.scaler == straight.scaler
    assert resumed.rows == straight.rows
    assert all(torch.equal(value, straight.best_net[name]) for name, value in resumed.best_net.items())
