"""Presets: each is a valid entry with the values of docs/method.md, and `add-corpus` writes the chosen one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from foalnet.config import Params, load_params, resolve
from foalnet.config.blocks import Train
from foalnet.config.load import Entry, File, merge, read_file
from foalnet.config.presets import PRESETS, preset_for
from foalnet.config.versions import DIFFERENCES, Row
from foalnet.core.errors import UsageError
from foalnet.corpora import get_reader
from foalnet.corpora.named import NAMED
from foalnet.encoders import CATALOGUE
from foalnet.faces import WEIGHT_FILES
from foalnet.methods import config_of
from foalnet.methods.params import value_of
from foalnet.nets import ENCODERS, PRETRAINED
from tests.support.corpus.trees import iemocap_tree, ravdess_tree
from tests.support.projects import verb

READERS = ("cremad", "iemocap", "meld", "ravdess")
CASES = [(name, reader) for name, each in PRESETS.items() for reader in READERS if each.reader in (None, reader)]


def resolved(repository: Path, name: str, reader: str) -> Params:
    """The params of an entry that a preset starts, over the blocks of the committed params.yaml."""
    kind = get_reader(reader)
    merged: dict[str, Any] = merge(kind.entry_preset, preset_for(name, reader).entry)
    entry = {
        "reader": reader,
        "source": "x",
        "variants": ["foal"],
        "seeds": [1],
        "manifest": {"classes": kind.class_presets, "contract": merged.get("contract"), **merged.get("manifest", {})},
        "evaluate": {},
        "report": {},
        **{block: merged.get(block, {}) for block in ("shards", "features", "train", "methods")},
    }
    file = read_file(repository / "params.yaml")
    return resolve(File(**{**dict(file), "corpora": {"c": Entry.model_validate(entry)}, "runs": {}}), "c")


@pytest.mark.parametrize(("name", "reader"), CASES)
def test_every_preset_is_a_valid_entry_of_known_parts(repository: Path, name: str, reader: str) -> None:
    params = resolved(repository, name, reader)
    assert params.train.audio.encoder in {**ENCODERS["audio"], **PRETRAINED["audio"]}
    assert params.train.video.encoder in ENCODERS["video"]
    encoder = params.features.encoder
    if encoder is not None:
        assert CATALOGUE[encoder].kind == "clip" and params.train.picture == "features"
        assert params.train.frame_step % params.features.frame_step == 0
    if params.train.audio.encoder in PRETRAINED["audio"]:
        assert CATALOGUE[params.train.audio.encoder].kind == "wavlm"


@pytest.mark.parametrize("row", DIFFERENCES, ids=[row.param for row in DIFFERENCES])
def test_every_row_of_the_two_versions_is_a_param_that_the_presets_set(repository: Path, row: Row) -> None:
    released, corrected = (resolved(repository, name, "iemocap").train for name in ("iemocap-paper", "iemocap"))
    assert value_of(released, row.param.removeprefix("train.")) == row.released
    assert value_of(corrected, row.param.removeprefix("train.")) == row.corrected


def test_the_corrected_version_is_the_default_of_every_switch() -> None:
    """A switch is a row of words or truths; numbers of the drawn corpus are its own."""
    for row in DIFFERENCES:
        if isinstance(row.corrected, str | bool):
            assert value_of(Train(), row.param.removeprefix("train.")) == row.corrected, row.param


def test_the_presets_share_the_papers_network_and_differ_in_nothing_else(repository: Path) -> None:
    released, corrected, old = (
        resolved(repository, name, "iemocap").train for name in ("iemocap-paper", "iemocap", "iemocap-paper-2024")
    )
    for train in (released, corrected):
        net = config_of("foal", train)
        assert (net.project, net.layers, net.heads, net.dropout, net.project_dropout) == (512, 2, 4, 0.1, 0.5)
        assert train.batch_size == 16
        assert train.audio.encoder == "wavlm_large" and train.video.encoder == "identity"
    assert differing(released.model_dump(), corrected.model_dump()) <= {
        row.param.removeprefix("train.") for row in DIFFERENCES
    }
    assert differing(released.model_dump(), old.model_dump()) == {"epochs", "patience", "methods.foal.beta"}


def test_every_difference_between_the_two_presets_stands_in_the_method(repository: Path) -> None:
    """Outside `train` too: what a preset lays over an entry and the other does not."""
    text = (repository / "docs" / "method.md").read_text()
    released, corrected = (resolved(repository, name, "iemocap").model_dump() for name in ("iemocap-paper", "iemocap"))
    entries = [preset_for(name, "iemocap").entry for name in ("iemocap-paper", "iemocap")]
    differences = {path for path in differing(released, corrected) if path not in ("seeds", "protocols")}
    differences |= {key for key in ("seeds", "protocols") if entries[0].get(key) != entries[1].get(key)}
    assert "train.frame_step" in differences and "features.frame_step" in differences and "seeds" in differences
    assert [
        path for path in sorted(differences) if f"| `{path.replace('train.methods', 'methods')}` |" not in text
    ] == []


def differing(one: dict[str, Any], other: dict[str, Any], path: str = "") -> set[str]:
    """The paths at which two blocks differ."""
    paths = set()
    for name, value in one.items():
        if isinstance(value, dict):
            paths |= differing(value, other[name], f"{path}{name}.")
        elif value != other[name]:
            paths.add(f"{path}{name}")
    return paths


def test_a_constant_schedule_is_one_rate(repository: Path) -> None:
    from foalnet.train.optim import rate

    paper = resolved(repository, "iemocap-paper", "iemocap").train
    assert {rate(step, 100, paper) for step in range(100)} == {1e-4}


@pytest.mark.parametrize("name", ["iemocap", "iemocap-paper"])
def test_iemocap_is_staged_with_yunet_at_the_halves_own_size(repository: Path, name: str) -> None:
    """The facts of the corpus: two heads a picture at 35 to 45 pixels, halves of 360 x 240."""
    shards = resolved(repository, name, "iemocap").shards
    assert (shards.detector, shards.stride, shards.roi) == ("yunet", 12, 2.0) and shards.detector in WEIGHT_FILES
    assert (shards.half_width_px, shards.half_height_px) == (360, 240)
    assert shards.min_face_px < 35 and 0.25 < shards.detector_score < 0.8
    plain = resolved(repository, "drawn", "iemocap").shards
    assert (plain.detector, plain.roi) == ("haar", 0.0)


@pytest.mark.long
def test_what_a_preset_needs_and_this_machine_lacks_is_said_before_staging(repository: Path, tmp_path: Path) -> None:
    for name in ("params.yaml", "prefect.yaml", "dvc.yaml"):
        (tmp_path / name).write_bytes((repository / name).read_bytes())
    iemocap_tree(tmp_path / "tree")
    here = {"FOALNET_WEIGHTS": "w", "TORCH_HOME": "torch", "PYTHONPATH": str(repository)}
    arguments = ["add-corpus", "iemocap", "--root", str(tmp_path / "tree"), "--preset", "iemocap"]
    shown = verb(tmp_path, *arguments, "--dry-run", **here).stdout
    assert "not on this machine" not in shown and shown.endswith("nothing was written (--dry-run)\n")
    printed = verb(tmp_path, *arguments, **here).stdout
    for name in ("yunet", "wavlm_large", "clip_vit_l14"):
        assert f"foalnet weights fetch {name}" in printed
    assert "face_detection_yunet_2026may.onnx" in printed and "the commands above, then dvc repro" in printed
    again = verb(tmp_path, *arguments, **here).stdout
    assert "face_detection_yunet_2026may.onnx" in again, "said until it is there"
    doctor = verb(tmp_path, "doctor", "iemocap", check=False, **here)
    fault = next(line for line in doctor.stdout.splitlines() if line.startswith("fault") and " weights " in line)
    assert doctor.returncode == 4 and "yunet_2026may.onnx" in fault and "foalnet weights fetch yunet" in fault
    verb(tmp_path, "inventory", "iemocap", **here)
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    params["corpora"]["iemocap"]["manifest"]["contract"] = None
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    verb(tmp_path, "manifest", "iemocap", **here)
    for more in ((), ("--dry-run",)):
        refused = verb(tmp_path, "shards", "iemocap", *more, check=False, **here)
        assert refused.returncode == 4 and "foalnet weights fetch yunet" in refused.stderr
    assert not (tmp_path / "work" / "clips").exists(), "not a dialogue was begun"


def test_drawn_changes_nothing(repository: Path) -> None:
    file = read_file(repository / "params.yaml")
    bare = file.corpora["drawn"].model_copy(update={"train": {}, "methods": {}})
    plain = resolve(file.model_copy(update={"corpora": {"drawn": bare}}), "drawn")
    assert resolved(repository, "drawn", "iemocap").train.model_dump() == plain.train.model_dump()


@pytest.mark.parametrize(
    ("name", "reader", "said"),
    [("iemocap", "ravdess", "it is for reader iemocap"), ("iemocap_paper", "iemocap", "did you mean 'iemocap-paper'")],
)
def test_a_preset_that_does_not_fit_is_a_usage_error(name: str, reader: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        preset_for(name, reader)


@pytest.mark.long
def test_add_corpus_writes_the_preset(repository: Path, tmp_path: Path) -> None:
    for name in ("params.yaml", "prefect.yaml", "dvc.yaml", "foalnet"):
        (tmp_path / name).symlink_to(repository / name) if name == "foalnet" else (tmp_path / name).write_bytes(
            (repository / name).read_bytes()
        )
    ravdess_tree(tmp_path / "tree")
    arguments = ["add-corpus", "ravdess", "--root", str(tmp_path / "tree"), "--epochs", "3"]
    verb(tmp_path, *arguments, "--name", "own")
    verb(tmp_path, *arguments, "--name", "named", "--preset", "ravdess")
    verb(tmp_path, *arguments, "--name", "small", "--preset", "drawn")
    corpora = yaml.safe_load((tmp_path / "params.yaml").read_text())["corpora"]
    assert corpora["own"]["train"] == corpora["named"]["train"] == corpora["small"]["train"]
    assert corpora["own"]["train"]["fold_by"] == "speaker" and corpora["own"]["train"]["epochs"] == 3
    assert corpora["own"]["features"] == {}
    wrong = verb(tmp_path, *arguments, "--name", "wrong", "--preset", "iemocap", check=False)
    assert wrong.returncode == 2 and "next:" in wrong.stderr


@pytest.mark.parametrize(
    ("preset", "variants", "fold_by"),
    [
        ("iemocap-gban", ["gban"], "gban-4490"),
        ("iemocap-m2fnet", ["m2fnet"], "iemocap6-erc-100-20-31"),
        ("iemocap-lmam", ["lmam"], "iemocap6-erc-100-20-31"),
        ("iemocap-jmt", ["audio_only", "video_only", "jmt_va", "jmt"], "session"),
    ],
)
def test_a_rival_as_published_is_an_entry_that_can_be_built(
    preset: str, variants: list[str], fold_by: str, repository: Path, tmp_path: Path
) -> None:
    for name in ("params.yaml", "prefect.yaml", "dvc.yaml"):
        (tmp_path / name).write_bytes((repository / name).read_bytes())
    iemocap_tree(tmp_path / "tree")
    verb(tmp_path, "add-corpus", "iemocap", "--root", str(tmp_path / "tree"), "--name", "own", "--preset", preset)
    # It builds the network of every variant, and compares classes and split.
    verb(tmp_path, "config", "own")
    params = load_params("own", tmp_path / "params.yaml")
    assert params.variants == variants and params.train.fold_by == fold_by
    split = NAMED.get(fold_by)
    assert split is None or {name: tuple(raws) for name, raws in params.manifest.classes.items()} == dict(split.classes)
