"""Every audio encoder gives finite outputs, statistics and gradients for silent, constant and very short sound."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foalnet.encoders import Pretrained
from foalnet.methods import Method, Objective, build_net
from foalnet.nets import ENCODERS, PRETRAINED, Batch, InputShape
from foalnet.nets.wavlm import unit_variance
from foalnet.train.batches import Clip, collate
from tests.support.corpus.stores import CLASSES, DIMS, RATE_HZ, make_params
from tests.support.hub import needs_transformers, recorded
from tests.support.marks import red_when

SHAPE = InputShape(rate_hz=RATE_HZ, frame=(DIMS,))
FLAT = {"silent": np.zeros(8000, np.float32), "constant": np.full(8000, 0.25, np.float32)}
SHORT = {"400": 400, "401": 401, "640": 640}


@pytest.fixture(scope="module", params=[*ENCODERS["audio"], *PRETRAINED["audio"]])
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Pretrained | None]:
    """The name of an encoder, with small random weights where it is built around published ones."""
    name = request.param
    if name not in PRETRAINED["audio"]:
        return name, None
    needs_transformers()
    return name, recorded(tmp_path_factory.mktemp("weights"), name)


def batch_of(waves: dict[str, np.ndarray]) -> Batch:
    frames, mask_F = np.ones((2, DIMS), np.float32), np.ones(2, bool)
    clips = [Clip.of(key, wave_N=wave_N, frames=frames, frame_mask_F=mask_F) for key, wave_N in waves.items()]
    return collate(clips, {clip.key: i % len(CLASSES) for i, clip in enumerate(clips)})


def net_of(encoder: tuple[str, Pretrained | None]) -> Method:
    name, pretrained = encoder
    torch.manual_seed(0)
    params = make_params(audio={"encoder": name}, video={"encoder": "linear"})
    return build_net("foal", params, classes=CLASSES, shape=SHAPE, pretrained=pretrained)


def finite_in_answer_and_gradient(net: Method, batch: Batch) -> bool:
    """Fit the statistics on the batch alone, answer it, and take its loss back through the network."""
    for part in net.encoders.values():
        part.fit([batch])
    assert all(bool(buffer.isfinite().all()) for buffer in net.buffers() if buffer.is_floating_point())
    with torch.no_grad():
        answered = bool(net.eval()(batch).logits_BC.isfinite().all())
    net.train()
    assert batch.label_B is not None
    objective = Objective()
    total = objective(net, net(batch), batch.label_B).total
    total.backward()
    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    return answered and bool(total.isfinite()) and all(bool(grad.isfinite().all()) for grad in gradients)


@red_when("nets/encoder.py", "a deviation may be 0")
@red_when("nets/logmel.py", "`FLOOR` 0: the logarithm of silence")
@red_when("nets/functionals.py", "harmonicity is divided by an energy of 0")
@red_when("nets/wavlm.py", "`EPSILON` 0")
@pytest.mark.parametrize("kind", ["silent", "constant"])
def test_t36_silent_and_constant_sound_is_finite(encoder: tuple[str, Pretrained | None], kind: str) -> None:
    # A fold of nothing but such sound: no band and no statistic of it deviates from its mean.
    waves = {f"{kind}_{i}": FLAT[kind] for i in range(3)}
    assert finite_in_answer_and_gradient(net_of(encoder), batch_of(waves))


@red_when("nets/wavlm.py", "`EPSILON` 0")
@pytest.mark.parametrize("level", [0.0, 0.25])
def test_t36_unit_variance_of_a_flat_sound_is_silence(level: float) -> None:
    wave_BN = torch.full((1, 4000), level)
    normalised = unit_variance(wave_BN, torch.ones(1, 4000, dtype=torch.bool))
    assert float(normalised.abs().max()) < 1e-3


@red_when("nets/logmel.py", "the last hop that is not full is left out")
@red_when("nets/wavlm.py", "the last step of an utterance is masked")
def test_t38_clips_of_the_shortest_lengths_are_finite_and_have_a_step(encoder: tuple[str, Pretrained | None]) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 640).astype(np.float32)
    waves = {name: noise[:count] for name, count in SHORT.items()}
    # As staging leaves a clip of 399 samples.
    waves["399"] = np.pad(noise[:399], (0, 1))
    net, batch = net_of(encoder), batch_of(waves)
    assert finite_in_answer_and_gradient(net, batch)
    steps = net.eval().encoders["audio"](batch)
    assert bool(steps.mask_BT.any(dim=1).all()) and bool(steps.values_BTD.isfinite().all())
