"""`foalnet import-checkpoint`: the authors' file becomes a sealed model with the outputs of their network."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import foalnet
from foalnet.artifact.model import FILE
from foalnet.authors.imported import import_checkpoint
from foalnet.authors.network import authors_outputs, from_authors
from foalnet.config import Settings
from foalnet.core.errors import DataError, UsageError
from foalnet.media import flac_bytes
from foalnet.shards import Sample
from tests.support.authors import CLASSES, DIMS, checkpoint
from tests.support.corpus.samples import table_sample
from tests.support.corpus.trees import write_wav
from tests.support.projects import verb

NAMES = ("happy", "neutral", "sad", "angry")
SIX_S = 96_000


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    """A checkpoint as the authors' code leaves it, and the config of its encoder."""
    state, architecture = checkpoint("group norm")
    torch.save(state, tmp_path / "best.pth")
    (tmp_path / "config.json").write_text(json.dumps(architecture.to_dict()))
    return {"state": state, "architecture": architecture, "file": tmp_path / "best.pth", "folder": tmp_path}


def settings(home: Path) -> Settings:
    return Settings(work=home / "work", weights=home / "weights", device="cpu", threads=1)


def sample(wave_N: np.ndarray, rows_FD: np.ndarray) -> Sample:
    """A staged utterance of a corpus of feature tables."""
    flac, end_s = flac_bytes(wave_N, 16000), len(wave_N) / 16000
    return table_sample("u1", flac=flac, rows_FD=rows_FD, side="whole", end_s=end_s)


def test_the_sealed_model_answers_as_the_authors_network(given: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    card = import_checkpoint(given["file"], given["folder"], out, settings(tmp_path), classes=NAMES)
    model = foalnet.load(out, settings=settings(tmp_path))
    generator = np.random.default_rng(0)
    # 16 bit numbers, so that FLAC gives them back as they are; and sound that 6 s of padding would shift in group norm.
    wave_N = (generator.integers(-3000, 3000, 20_000) / 32768).astype(np.float32)
    rows_FD = generator.standard_normal((5, DIMS)).astype(np.float32)
    answer = model.predict_sample(sample(wave_N, rows_FD))
    wave_BN = torch.zeros(1, SIX_S)
    wave_BN[0, : len(wave_N)] = torch.from_numpy(wave_N)
    logits_BC = authors_outputs(
        from_authors(given["state"], given["architecture"]),
        wave_BN,
        torch.arange(SIX_S)[None] < len(wave_N),
        torch.from_numpy(rows_FD)[None],
        torch.ones(1, 5),
        torch.tensor([0]),
    )[0]
    expected = logits_BC.softmax(dim=1)[0].tolist()
    assert list(answer.probabilities.values()) == pytest.approx(expected, abs=1e-5)
    assert (answer.sound, answer.picture) == ("found", "found")
    assert "no figure of this project or of the paper" in card["note"]
    assert "Not to be used for" in (out / "card.md").read_text()


def test_a_pickle_and_its_safetensors_give_the_same_model_but_for_the_digest_of_the_file(
    given: dict[str, Any], tmp_path: Path
) -> None:
    safe = tmp_path / "best.safetensors"
    save_file(given["state"], safe)
    nested = tmp_path / "nested.pth"
    torch.save({"epoch": 3, "state_dict": given["state"], "optimizer": {"state": {}}}, nested)
    weights = []
    for place, file in enumerate((given["file"], safe, nested)):
        import_checkpoint(file, given["folder"], tmp_path / str(place), settings(tmp_path), classes=NAMES)
        model = foalnet.load(tmp_path / str(place), settings=settings(tmp_path))
        weights.append(model._net.state_dict())
    for other in weights[1:]:
        assert all(torch.equal(value, other[name]) for name, value in weights[0].items())
    before = (tmp_path / "0" / FILE).read_bytes()
    import_checkpoint(given["file"], given["folder"], tmp_path / "0", settings(tmp_path), classes=NAMES)
    assert (tmp_path / "0" / FILE).read_bytes() == before


class Evil:
    """Runs code when a pickle of it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("ran"),))


def test_a_pickle_that_runs_code_is_refused(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    evil = tmp_path / "evil.pth"
    evil.write_bytes(pickle.dumps({"temp": Evil()}, protocol=2))
    torch.save({"temp": Evil()}, tmp_path / "evil2.pth")
    for file in (evil, tmp_path / "evil2.pth"):
        with pytest.raises(DataError, match="cannot be read as plain tensors"):
            import_checkpoint(file, given["folder"], tmp_path / "out", settings(tmp_path), classes=NAMES)
    assert not (tmp_path / "ran").exists() and not (tmp_path / "out").exists()


def test_the_encoders_config_is_read_from_the_weights(given: dict[str, Any], tmp_path: Path) -> None:
    folder = settings(tmp_path).weights_folder / "wavlm_large"
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes((given["folder"] / "config.json").read_bytes())
    import_checkpoint(given["file"], None, tmp_path / "out", settings(tmp_path), classes=NAMES)
    assert foalnet.load(tmp_path / "out", settings=settings(tmp_path)).classes == NAMES


def test_what_is_wrong_is_said(given: dict[str, Any], tmp_path: Path) -> None:
    def attempt(file: Path, wavlm: Path | None, classes: tuple[str, ...] = NAMES) -> None:
        import_checkpoint(file, wavlm, tmp_path / "out", settings(tmp_path), classes=classes)

    with pytest.raises(DataError, match="there is no such checkpoint"):
        attempt(tmp_path / "absent.pth", given["folder"])
    with pytest.raises(UsageError, match=f"has {CLASSES} classes, 2 were named"):
        attempt(given["file"], given["folder"], ("a", "b"))
    with pytest.raises(DataError, match="not a config of a WavLM"):
        attempt(given["file"], tmp_path / "absent")
    with pytest.raises(DataError, match="not a config of a WavLM") as error:
        attempt(given["file"], None)
    assert "foalnet weights fetch wavlm_large" in str(error.value)
    (tmp_path / "odd.json").write_text('{"hidden_size": "wide", "conv_dim": 3}')
    with pytest.raises(DataError, match="not a config of a WavLM"):
        attempt(given["file"], tmp_path / "odd.json")
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(DataError, match="not a config of a WavLM"):
        attempt(given["file"], tmp_path / "other.json")
    bare: dict[str, Tensor] = {"weight": torch.zeros(2)}
    torch.save(bare, tmp_path / "bare.pth")
    with pytest.raises(DataError, match=r"not a checkpoint of the authors' code.*tensor weight"):
        attempt(tmp_path / "bare.pth", given["folder"])


@pytest.mark.long
def test_the_verb_and_predict_on_a_recording(given: dict[str, Any], tmp_path: Path) -> None:
    done = verb(tmp_path, "import-checkpoint", str(given["file"]), "--wavlm", str(given["folder"] / "config.json"))
    assert "sealed:" in done.stdout and "Who trained it" in done.stdout
    write_wav(tmp_path / "voice.wav", 1.0)
    shown = verb(tmp_path, "predict", "voice.wav", "--model", "models/imported")
    row = json.loads(shown.stdout)
    assert (
        row["sound"] == "found" and row["picture"] == "none" and sum(row["probabilities"].values()) == pytest.approx(1)
    )
    assert row["preprocessing"].startswith("unknown: the checkpoint was imported")
    wrong = verb(tmp_path, "import-checkpoint", "absent.pth", "--wavlm", str(given["folder"]), check=False)
    assert wrong.returncode == 3 and "absent.pth" in wrong.stderr and "next:" in wrong.stderr
