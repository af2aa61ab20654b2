"""WavLM as an encoder: the library's own numbers, the frozen front, SpecAugment, rates, checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foalnet.artifact.checkpoint import load_checkpoint, net_tensors, put_net
from foalnet.config import Settings
from foalnet.config.blocks import Train
from foalnet.core.errors import MachineError, UsageError
from foalnet.encoders import Pretrained, load_model, transformers_offline
from foalnet.methods import Objective, build_net
from foalnet.nets import InputShape
from foalnet.nets.augment import hidden_spans
from foalnet.nets.wavlm import WavLM, unit_variance
from foalnet.stages.train.training import train_run
from foalnet.train.batches import Clip, collate
from foalnet.train.fold import logits_of
from foalnet.train.optim import optimizer, take_step
from tests.support.corpus.stores import RATE_HZ, corpus_params, make_params, make_store, put, write_corpus
from tests.support.hub import needs_transformers, recorded, write_wavlm

NAMES = ("wavlm_base", "wavlm_large")
SHAPE = InputShape(rate_hz=RATE_HZ, frame=(6,))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pretrained]:
    needs_transformers()
    root = tmp_path_factory.mktemp("weights")
    return {name: recorded(root, name, pickle=name == "wavlm_large") for name in NAMES}


def sound(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.02, 0.1, samples).astype(np.float32)


def clip(key: str, wave_N: np.ndarray) -> Clip:
    return Clip.of(key, wave_N=wave_N, frames=np.zeros((0, 6), np.float32), frame_mask_F=np.zeros(0, bool))


def encoder(pretrained: Pretrained, **over: Any) -> WavLM:
    params = make_params(audio={"encoder": pretrained.name, **over}).audio
    return WavLM(params, SHAPE, pretrained).eval()


@pytest.mark.parametrize("name", NAMES)
def test_it_gives_the_librarys_own_hidden_states(name: str, weights: dict[str, Pretrained]) -> None:
    """Each utterance as the hub's feature extractor and WavLMModel treat it alone; the pickle's road included."""
    transformers, pretrained = transformers_offline(), weights[name]
    assert pretrained.folder is not None
    reference = transformers.WavLMModel.from_pretrained(pretrained.folder).eval()
    prepare = transformers.Wav2Vec2FeatureExtractor.from_pretrained(pretrained.folder)
    waves = [sound(n, n) for n in (400, 719, 720, 5000, 16000)]
    steps = encoder(pretrained)(collate([clip(f"k{i}", wave) for i, wave in enumerate(waves)]))
    for row, wave in enumerate(waves):
        with torch.no_grad():
            expected = reference(prepare(wave, sampling_rate=RATE_HZ, return_tensors="pt")["input_values"])
        count = int(steps.mask_BT[row].sum())
        assert expected.last_hidden_state.shape[1] == count == (len(wave) - 400) // 320 + 1
        torch.testing.assert_close(steps.values_BTD[row, :count], expected.last_hidden_state[0], rtol=0, atol=2e-5)
        assert bool((steps.values_BTD[row, count:] == 0).all())


def test_a_pickle_of_old_names_loads_as_the_safetensors_of_new_ones(tmp_path: Path) -> None:
    """weight_g and weight_v of the published pickle reach the positional convolution; no weight is random."""
    needs_transformers()
    write_wavlm(tmp_path / "new", "wavlm_large")
    old = recorded(tmp_path / "old", "wavlm_large", pickle=True)
    new = transformers_offline().WavLMModel.from_pretrained(tmp_path / "new").state_dict()
    loaded = encoder(old).tuned.state_dict()
    assert {name for name in new if "original" in name} and new.keys() == loaded.keys()
    assert all(torch.equal(value, loaded[name]) for name, value in new.items())


@settings(max_examples=8, deadline=None)
@given(lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=4), more=st.integers(0, 2000))
def test_t66_lengths_neighbours_and_padding(lengths: list[int], more: int, weights: dict[str, Pretrained]) -> None:
    """Sound shorter than one step gives one finite step, the same alone, with others and with more padding."""
    for pretrained in weights.values():
        net = encoder(pretrained)
        clips = [clip(f"k{i}", sound(n, n)) for i, n in enumerate(lengths)]
        batch = collate(clips)
        whole = batch.raw["audio"]
        wider = put(
            batch,
            "audio",
            values=torch.cat([whole.values_BTD, torch.full((len(clips), more), 9.0)], 1),
            mask_BT=torch.cat([whole.mask_BT, torch.zeros(len(clips), more, dtype=torch.bool)], 1),
        )
        with torch.no_grad():
            together, padded = net(batch), net(wider)
            for row, each in enumerate(clips):
                alone = net(collate([each]))
                count = int(alone.mask_BT.sum())
                assert count == max((lengths[row] - 400) // 320 + 1, 1)
                for steps in (together, padded):
                    assert int(steps.mask_BT[row].sum()) == count
                    torch.testing.assert_close(
                        steps.values_BTD[row, :count], alone.values_BTD[0, :count], rtol=0, atol=3e-5
                    )
                    assert bool((steps.values_BTD[row, count:] == 0).all())


def test_unit_variance_is_over_valid_samples_alone() -> None:
    needs_transformers()
    wave = sound(1000)
    batch = collate([clip("a", wave), clip("b", sound(3000, 1))])
    actual = unit_variance(batch.raw["audio"].values_BTD, batch.raw["audio"].mask_BT)[0]
    prepare = transformers_offline().Wav2Vec2FeatureExtractor(do_normalize=True)
    expected = prepare(wave, sampling_rate=RATE_HZ, return_tensors="pt")["input_values"][0]
    torch.testing.assert_close(actual[:1000], expected, rtol=0, atol=1e-5)
    assert bool((actual[1000:] == 0).all())


def test_raw_amplitude_is_a_param(weights: dict[str, Pretrained]) -> None:
    """Released version, `input_norm: none`: without normalisation loudness matters, with it it does not."""
    quiet, loud = (collate([clip("a", sound(4000) * scale)]) for scale in (0.1, 1.0))
    for name, norm, differs in (
        ("wavlm_large", "config", False),
        ("wavlm_large", "none", True),
        ("wavlm_base", "config", True),
    ):
        net = encoder(weights[name], input_norm=norm)
        with torch.no_grad():
            distance = float((net(quiet).values_BTD - net(loud).values_BTD).abs().max())
        assert (distance > 1e-2) == differs, name


@pytest.mark.parametrize("name", NAMES)
def test_the_front_is_frozen_the_rest_learns_at_its_own_rate(name: str, weights: dict[str, Pretrained]) -> None:
    synthetic = make_store(per_group=4)
    params = make_params(audio={"encoder": name}, lr=1e-3, lr_encoder=2e-5, weight_decay=0.0)
    torch.manual_seed(0)
    net = build_net("foal", params, classes="abcd", shape=synthetic.store.shape, pretrained=weights[name])
    before = net_tensors(net)
    optim = optimizer(net, params)
    clips = list(synthetic.store.clips.values())[:8]
    batch = collate(clips, {each.key: i % 4 for i, each in enumerate(clips)})
    net.train()
    objective = Objective()
    assert take_step(net, batch, objective, optim, lr=1e-3, clip_norm=1e9).loss is not None
    # AdamW's first step moves each weight by its rate.
    moved = {key: float((value - before[key]).abs().max()) for key, value in net_tensors(net).items()}
    front = {key: size for key, size in moved.items() if ".feature_extractor." in key}
    tuned = {key: size for key, size in moved.items() if ".tuned." in key and key not in front}
    rest = {key: size for key, size in moved.items() if ".tuned." not in key and not key.startswith("video")}
    assert front and max(front.values()) == 0.0
    assert 1.5e-5 < max(tuned.values()) < 2.5e-5
    assert 0.9e-3 < max(rest.values()) < 1.1e-3


def test_without_a_rate_of_its_own_the_encoder_learns_as_the_rest(weights: dict[str, Pretrained]) -> None:
    params = make_params(audio={"encoder": "wavlm_base"})
    net = build_net("audio_only", params, classes="abcd", shape=SHAPE, pretrained=weights["wavlm_base"])
    groups = optimizer(net, params).param_groups
    assert len(groups) == 4 and {group["share"] for group in groups} == {1.0}


def test_spec_augment_and_layerdrop_come_from_config_or_params(weights: dict[str, Pretrained]) -> None:
    batch = collate([clip("a", sound(6000))])
    pretrained = weights["wavlm_base"]
    configured = replace(
        pretrained, folder=None, config=dict(pretrained.config) | {"mask_time_prob": 0.5, "layerdrop": 0.5}
    )
    for source, over, random in (
        (pretrained, {}, False),
        (configured, {}, True),
        (configured, {"spec_augment": 0.0}, True),
        (configured, {"spec_augment": 0.0, "layerdrop": 0.0}, False),
        (replace(pretrained, folder=None), {"spec_augment": 0.5}, True),
    ):
        torch.manual_seed(1)
        net = encoder(source, dropout=0.0, **over).train()
        passes = [net(batch).values_BTD for _ in range(8)]
        assert all(torch.equal(passes[0], other) for other in passes[1:]) != random, over
        torch.manual_seed(2)
        first = net(batch).values_BTD
        torch.manual_seed(2)
        assert torch.equal(first, net(batch).values_BTD), "chance is not torch's alone"
        net.eval()
        assert torch.equal(net(batch).values_BTD, net(batch).values_BTD)


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 60), min_size=1, max_size=4),
    share=st.floats(0, 1),
    span=st.integers(1, 12),
    least=st.integers(0, 3),
)
def test_hidden_spans_stay_within_each_utterance(lengths: list[int], share: float, span: int, least: int) -> None:
    torch.manual_seed(0)
    hidden_BT = hidden_spans(lengths, 60, share=share, span=span, least=least)
    for row, length in zip(hidden_BT, lengths, strict=True):
        assert not bool(row[length:].any())
        assert int(row.sum()) <= span * max(int(share * length / span) + 1, least)
        assert int(row.sum()) <= length
        assert bool(row.any()) <= (length >= span)
        if length >= span and least:
            assert int(row.sum()) >= span


@pytest.mark.parametrize("length", [12, 15, 19, 40])
def test_short_utterances_are_hidden_as_often_as_by_the_library(length: int) -> None:
    """Spans of a short utterance may overlap and fill it, as many as the longest of the batch could hold."""
    from transformers.models.wavlm.modeling_wavlm import _compute_mask_indices

    longest, draws, mask = 299, 600, torch.zeros(1, 299, dtype=torch.long)
    mask[0, :length] = 1
    theirs = [
        _compute_mask_indices((1, longest), 0.075, 10, attention_mask=mask, min_masks=2)[0, :length].mean()
        for _ in range(draws)
    ]
    ours = [
        float(hidden_spans([length], longest, share=0.075, span=10, least=2)[0, :length].float().mean())
        for _ in range(draws)
    ]
    # Shares of one utterance deviate by up to 0.25: four standard errors of a difference of means are 0.06.
    assert abs(float(np.mean(ours)) - float(np.mean(theirs))) < 0.06


def test_params_ask_for_specaugment_where_the_config_does_not(tmp_path: Path) -> None:
    pretrained = recorded(tmp_path, "wavlm_large", mask_time_prob=0.05, apply_spec_augment=False)
    assert encoder(pretrained).config.mask_time_prob == 0.0
    assert encoder(pretrained, spec_augment=0.1).config.mask_time_prob == 0.1


def test_an_adapter_is_refused_not_left_out(weights: dict[str, Pretrained]) -> None:
    known = weights["wavlm_large"]
    with pytest.raises(UsageError, match="has an adapter"):
        encoder(replace(known, config={**known.config, "add_adapter": True}))


def test_sound_of_another_rate_and_lacking_weights_are_answered(weights: dict[str, Pretrained], tmp_path: Path) -> None:
    params = make_params(audio={"encoder": "wavlm_base"})
    with pytest.raises(UsageError, match="8000 Hz"):
        WavLM(params.audio, InputShape(rate_hz=8000, frame=(6,)), weights["wavlm_base"])
    with pytest.raises(UsageError, match="none were given") as error:
        build_net("foal", params, classes="abcd", shape=SHAPE)
    assert "open_weights" in str(error.value)
    from safetensors.torch import load_file, save_file

    whole = weights["wavlm_base"]
    assert whole.folder is not None
    state = load_file(whole.folder / "model.safetensors")
    gone = state.pop("encoder.layers.1.attention.k_proj.weight")
    assert gone.numel()
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MachineError, match=r"lack 1 tensors.*k_proj"):
        load_model("WavLMModel", replace(whole, folder=tmp_path), encoder(whole).config)


@pytest.mark.long
def test_a_run_is_trained_sealed_and_built_again_without_the_files(tmp_path: Path) -> None:
    """The whole road of `train` with a pretrained encoder; the checkpoint alone gives the network and its logits."""
    needs_transformers()
    pretrained = recorded(tmp_path / "weights", "wavlm_large", mask_time_prob=0.3, mask_time_length=2)
    synthetic = make_store(per_group=4)
    paths = write_corpus(tmp_path, synthetic)
    audio = {"encoder": "wavlm_large", "weights": pretrained.sha256}
    params = corpus_params(audio=audio, lr_encoder=2e-5, epochs=1)
    machine = Settings(work=tmp_path / "work", weights=tmp_path / "weights", workers=2, device="cpu")
    train_run(params, machine, paths, variant="audio_only", seed=1)
    model = paths.model("audio_only", 1)
    train_text = (model / "train.json").read_text()
    assert pretrained.sha256 in train_text and str(tmp_path) not in train_text
    files = {path.name: path.read_bytes() for path in model.iterdir()}
    (model / "train.json").unlink()
    train_run(params, replace_work(machine, tmp_path / "again"), paths, variant="audio_only", seed=1)
    assert {path.name: path.read_bytes() for path in model.iterdir()} == files
    tensors, facts = load_checkpoint(model / "fold-Session1.safetensors")
    net = build_net(
        facts["variant"],
        Train.model_validate(facts["train"]),
        classes="abcd",
        shape=InputShape(rate_hz=facts["rate_hz"], frame=tuple(facts["frame"])),
        pretrained=Pretrained.from_facts(facts["pretrained"]),
    )
    put_net(net, tensors, file=model)
    from safetensors.torch import load

    expected = load(files["logits.safetensors"])["Session1/test"][-1]
    keys = [key for key in sorted(synthetic.labels) if synthetic.groups[key] == "Session1"]
    actual = logits_of(net, synthetic.store, keys, torch.device("cpu"), make_params())
    # The shard's sound is FLAC of 16 bits, the store's is not.
    torch.testing.assert_close(actual, expected, rtol=0, atol=2e-2)


def replace_work(machine: Settings, work: Path) -> Settings:
    return machine.model_copy(update={"work": work})
