"""The authors' checkpoints against a plain reimplementation of their arithmetic, without shared code."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from foalnet.authors.network import authors_outputs, from_authors
from foalnet.core.errors import DataError
from foalnet.encoders import transformers_offline
from foalnet.methods import FoalNet
from tests.support.authors import DIMS, HEADS, KINDS, State, checkpoint, config


def batch(size: int, samples: int, frames: int) -> dict[str, Tensor]:
    """Sound and features of different lengths, zeros behind the masks; the first row is whole."""
    generator = torch.Generator().manual_seed(size)
    wave_BN = 0.3 * torch.randn(size, samples, generator=generator)
    frames_BFD = torch.randn(size, frames, DIMS, generator=generator)
    wave_mask_BN, frame_mask_BF = torch.ones(size, samples).bool(), torch.ones(size, frames).bool()
    for row in range(1, size):
        wave_mask_BN[row, samples - row * (samples // (2 * size)) :] = False
        frame_mask_BF[row, max(1, frames - row) :] = False
    return {
        "wave_BN": wave_BN * wave_mask_BN,
        "wave_mask_BN": wave_mask_BN,
        "frames_BFD": frames_BFD * frame_mask_BF[..., None],
        "frame_mask_BF": frame_mask_BF,
    }


class Plain:
    """docs/method.md, written out: float64, one utterance, head and row at a time where that is clearer."""

    def __init__(self, state: State, architecture: Any) -> None:
        self.state = {name: value.double() for name, value in state.items()}
        self.wavlm = transformers_offline().WavLMModel(architecture).double().eval()
        own = {name.removeprefix("wavlm."): value for name, value in self.state.items() if name.startswith("wavlm.")}
        self.wavlm.load_state_dict(own)

    def linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.state[f"{name}.weight"].T + self.state.get(f"{name}.bias", torch.zeros(()))

    def norm(self, name: str, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-5)
        return scaled * self.state[f"{name}.weight"] + self.state[f"{name}.bias"]

    def stack(self, name: str, query: tuple[Tensor, Tensor], keys: tuple[Tensor, Tensor]) -> Tensor:
        """Pooled query of one utterance: (steps, mask) by (steps, mask) to [width]."""
        x, mask = query
        layer = 0
        while f"{name}.{layer}.w_q.weight" in self.state:
            at = f"{name}.{layer}"
            q, k, v = self.linear(f"{at}.w_q", x), self.linear(f"{at}.w_k", keys[0]), self.linear(f"{at}.w_v", keys[0])
            each = x.shape[1] // HEADS
            heads = []
            for h in range(HEADS):
                part = slice(h * each, (h + 1) * each)
                scores = q[:, part] @ k[:, part].T / math.sqrt(each)
                scores[:, ~keys[1]] = -10000.0
                heads.append(scores.softmax(dim=1) @ v[:, part])
            x = self.norm(f"{at}.ln", x + self.linear(f"{at}.w_concat", torch.cat(heads, dim=1)))
            layer += 1
        return x[mask].mean(dim=0)

    def project(self, side: str, x: Tensor) -> Tensor:
        first = self.linear(f"{side}_project.linear1", x)
        cdf = 0.5 * (1 + torch.erf(first / math.sqrt(2)))
        out = self.norm(f"{side}_project.layer_norm", first + self.linear(f"{side}_project.linear2", first * cdf))
        return out / out.norm()

    @torch.no_grad()
    def __call__(self, given: dict[str, Tensor], label: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        wave_mask = given["wave_mask_BN"].long()
        hidden = self.wavlm(given["wave_BN"].double(), attention_mask=wave_mask).last_hidden_state
        step_mask = self.wavlm._get_feature_vector_attention_mask(hidden.shape[1], wave_mask).bool()
        sounds = [(h * m[:, None], m) for h, m in zip(hidden, step_mask, strict=True)]
        pictures = list(zip(given["frames_BFD"].double(), given["frame_mask_BF"], strict=True))
        size = len(label)
        a2v = [self.stack("a2v", sounds[i], pictures[i]) for i in range(size)]
        v2a = [self.stack("v2a", pictures[i], sounds[i]) for i in range(size)]
        logits = torch.stack([self.linear("cls_head", torch.cat([a, v])) for a, v in zip(a2v, v2a, strict=True)])
        audio = [self.project("audio", h[m].mean(0)) for h, m in sounds]
        video = [self.project("video", f[m].mean(0)) for f, m in pictures]
        sim = torch.stack([torch.stack([a @ v for v in video]) for a in audio]) / self.state["temp"]
        avel = torch.zeros((), dtype=torch.float64)
        for scores in (sim, sim.T):
            for i in range(size):
                total = torch.logsumexp(scores[i], 0)
                avel -= sum((scores[i, j] - total) for j in range(size) if label[j] == label[i]) / (2 * size)
        return logits, avel, self.mem(sim, label, (sounds, pictures), (a2v, v2a))

    def mem(self, sim: Tensor, label: list[int], sides: Any, own: Any) -> Tensor:
        sounds, pictures = sides
        drawn = []
        for scores in (sim.float(), sim.T.float()):
            rows = []
            for i in range(len(label)):
                row = [float("-10000") if label[j] == label[i] else float(scores[i, j]) for j in range(len(label))]
                rows.append(int(torch.multinomial(torch.tensor(row).softmax(0), 1)))
            drawn.append(rows)
        total = torch.zeros((), dtype=torch.float64)
        for name, matched, mismatched in (
            ("a2v", own[0], lambda i: (sounds[i], pictures[drawn[0][i]])),
            ("v2a", own[1], lambda i: (pictures[i], sounds[drawn[1][i]])),
        ):
            for i in range(len(label)):
                total -= self.linear(f"{name}_head", matched[i]).log_softmax(0)[1]
                total -= self.linear(f"{name}_head", self.stack(name, *mismatched(i))).log_softmax(0)[0]
        return total / (4 * len(label))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("samples", "frames", "label"),
    [
        (4000, 7, [0, 1]),
        (9600, 3, [2, 2, 0, 3]),
        (6000, 1, [1, 1, 1]),
        (5000, 5, [3]),
    ],
    ids=["two", "four with a repeated class", "one class", "batch of one"],
)
def test_t68_the_released_arithmetic(kind: str, samples: int, frames: int, label: list[int]) -> None:
    state, architecture = checkpoint(kind)
    model = from_authors(state, architecture)
    given = batch(len(label), samples, frames)
    plain = Plain(state, architecture)
    torch.manual_seed(5)
    expected = plain(given, label)
    torch.manual_seed(5)
    outputs = authors_outputs(model, **given, label_B=torch.tensor(label))
    for one, other in zip(outputs, expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=1e-5)
    double = {name: value.double() if value.is_floating_point() else value for name, value in given.items()}
    torch.manual_seed(5)
    exact = authors_outputs(model.double(), **double, label_B=torch.tensor(label))
    for one, other in zip(exact, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_one_class_draws_positives_as_negatives() -> None:
    """Released version: with one class MEM is not empty; each drawn pair is one of the batch, the own one included."""
    state, architecture = checkpoint("layer norm")
    given = batch(3, 4000, 4)
    model, drawn = from_authors(state, architecture), set()
    for seed in range(20):
        torch.manual_seed(seed)
        drawn.add(round(float(authors_outputs(model, **given, label_B=torch.ones(3).long())[2]), 6))
    assert len(drawn) > 1 and 0.0 not in drawn


def test_a_config_as_a_dict_names_of_a_wrapper_and_old_names_of_the_weight_norm_are_known() -> None:
    state, architecture = checkpoint("layer norm")
    given = batch(2, 4000, 4)
    expected = authors_outputs(from_authors(state, architecture), **given, label_B=torch.tensor([0, 1]))[0]
    old = {
        "module._orig_mod."
        + name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): value
        for name, value in state.items()
    }
    assert any(name.endswith("weight_g") for name in old)
    again = from_authors(old, architecture.to_dict())
    assert torch.equal(authors_outputs(again, **given, label_B=torch.tensor([0, 1]))[0], expected)


@pytest.mark.parametrize("prob", [0.0, 0.05])
def test_the_vector_of_specaugment_may_lack_or_be_too_many(prob: float) -> None:
    state, architecture = checkpoint("layer norm", mask_time_prob=0.05)
    assert "wavlm.masked_spec_embed" in state
    if prob:
        del state["wavlm.masked_spec_embed"]
    architecture.mask_time_prob = prob
    assert isinstance(from_authors(state, architecture), FoalNet)


@pytest.mark.parametrize("layers", [1, 3])
def test_the_number_of_layers_is_read_from_the_names(layers: int) -> None:
    state, architecture = checkpoint("layer norm", layers=layers)
    model = from_authors(state, architecture)
    assert not model.training
    given, label = batch(2, 4000, 3), [0, 1]
    torch.manual_seed(1)
    expected = Plain(state, architecture)(given, label)[0]
    logits = authors_outputs(model, **given, label_B=torch.tensor(label))[0]
    torch.testing.assert_close(logits.double(), expected, rtol=0, atol=1e-5)


def test_what_does_not_belong_or_lacks_is_named() -> None:
    state, architecture = checkpoint("layer norm")
    with pytest.raises(DataError, match="its tensor optimizer is none of"):
        from_authors(state | {"optimizer": torch.zeros(1)}, architecture)
    with pytest.raises(DataError, match=r"has no tensor cls_head\.weight"):
        from_authors({name: v for name, v in state.items() if name != "cls_head.weight"}, architecture)
    with pytest.raises(DataError, match=r"1 lacking \(fusion\.a2v\.layers\.1\.key\.bias"):
        from_authors({name: v for name, v in state.items() if name != "a2v.1.w_k.bias"}, architecture)
    with pytest.raises(DataError, match="does not fit its architecture") as error:
        from_authors(state, config("layer norm", hidden_size=16))
    assert "of another shape" in str(error.value) and len(str(error.value)) < 600


def test_types_are_brought_to_the_models() -> None:
    state, architecture = checkpoint("layer norm")
    model, given = from_authors(state, architecture), batch(3, 4000, 4)
    label_B = torch.tensor([0, 1, 2])
    torch.manual_seed(0)
    expected = authors_outputs(model, **given, label_B=label_B)
    other = {
        "wave_BN": given["wave_BN"].double(),
        "wave_mask_BN": given["wave_mask_BN"].int(),
        "frames_BFD": given["frames_BFD"].double(),
        "frame_mask_BF": given["frame_mask_BF"].float(),
    }
    for kind in (torch.int32, torch.float32):
        torch.manual_seed(0)
        outputs = authors_outputs(model, **other, label_B=label_B.to(kind))
        assert all(torch.equal(a, b) for a, b in zip(outputs, expected, strict=True))
    half = authors_outputs(model, **(given | {"frames_BFD": given["frames_BFD"].half()}), label_B=label_B)[0]
    torch.testing.assert_close(half, expected[0], rtol=0, atol=1e-2)


def test_less_than_a_step_is_said() -> None:
    state, architecture = checkpoint("layer norm")
    with pytest.raises(ValueError, match="100 samples are less than one step"):
        authors_outputs(from_authors(state, architecture), **batch(2, 100, 3), label_B=torch.tensor([0, 1]))


def test_a_vector_that_a_file_lacks_is_the_same_in_every_run() -> None:
    state, architecture = checkpoint("layer norm", mask_time_prob=0.05)
    del state["wavlm.masked_spec_embed"]
    torch.manual_seed(1)
    first = from_authors(state, architecture).state_dict()["audio.tuned.masked_spec_embed"]
    torch.manual_seed(2)
    assert torch.equal(first, from_authors(state, architecture).state_dict()["audio.tuned.masked_spec_embed"])


def test_t67_length_0_is_refused_by_row() -> None:
    state, architecture = checkpoint("layer norm")
    model, given = from_authors(state, architecture), batch(3, 4000, 4)
    for mask, what in (("wave_mask_BN", "sound"), ("frame_mask_BF", "picture")):
        empty = given[mask].clone()
        empty[1] = False
        with pytest.raises(ValueError, match=rf"rows \[1\] have no {what}"):
            authors_outputs(model, **(given | {mask: empty}), label_B=torch.tensor([0, 1, 2]))


def test_building_leaves_the_callers_random_stream_alone() -> None:
    state, architecture = checkpoint("layer norm")
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    from_authors(state, architecture)
    assert torch.equal(torch.rand(4), expected)


def test_padding_of_silence_changes_nothing_with_layer_norm() -> None:
    """The released code always pads to 6 s; behind its masks that is invisible where the front normalises by step."""
    state, architecture = checkpoint("layer norm")
    model, given = from_authors(state, architecture), batch(3, 4000, 4)
    more = {name: F.pad(value, (0, 0, 0, 3) if value.ndim == 3 else (0, 2000)) for name, value in given.items()}
    more["frame_mask_BF"] = F.pad(given["frame_mask_BF"], (0, 3))
    label_B = torch.tensor([0, 1, 1])
    torch.manual_seed(2)
    short = authors_outputs(model, **given, label_B=label_B)
    torch.manual_seed(2)
    long = authors_outputs(model, **more, label_B=label_B)
    for one, other in zip(short, long, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
