"""Seals of JSON files, the manifest's digest, and a run's files: damage is refused by name."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foalnet.artifact.results import read_results, read_train
from foalnet.artifact.seal import SEAL, publish_sealed, read_sealed, sealed_bytes
from foalnet.artifact.table import read_manifest
from foalnet.core.errors import DataError, MachineError
from foalnet.core.files import json_bytes
from foalnet.core.paths import Paths
from foalnet.stages.evaluate.scoring import evaluate_run
from tests.support.corpus.results import make_params, write_model, write_stages
from tests.support.corpus.rows import make_utterances
from tests.support.sealing import reseal, vouch, write_manifest

FACTS = {"corpus": "drawn", "ua": 0.5, "names": ["ä", "b"], "none": None}
AGAIN = "dvc repro --force --single-item manifest@drawn"


def read(path: Path, **more: Any) -> dict[str, Any]:
    return read_sealed(path, again="manifest@drawn", **more)


def test_what_was_sealed_is_read_without_its_seal_and_the_bytes_are_canonical(tmp_path: Path) -> None:
    publish_sealed(tmp_path / "a.json", FACTS)
    assert read(tmp_path / "a.json") == FACTS
    content = json.loads((tmp_path / "a.json").read_bytes())
    assert (tmp_path / "a.json").read_bytes() == json_bytes(content) and len(content[SEAL]) == 64
    assert sealed_bytes("a.json", content) == sealed_bytes("a.json", FACTS), "a seal is no part of what is sealed"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: data.replace(b"0.5", b"0.6"), "its seal does not match its name and content"),
        (lambda data: data.replace(b'"drawn"', b'"drown"'), "its seal does not match its name and content"),
        (lambda data: data.replace(b'"none": null,', b""), "its seal does not match its name and content"),
        (lambda data: json_bytes(FACTS), "has no seal"),
        (lambda data: data[:-3], "not valid JSON"),
        (lambda data: b"", "not valid JSON"),
        (lambda data: b"\xff" + data, "not valid JSON"),
        (lambda data: b"[" * 100_000, "not valid JSON"),
        (lambda data: data.replace(b"0.5", b"NaN"), "not valid JSON"),
        (lambda data: data.replace(b"0.5", b"1e999"), "not valid JSON"),
        (lambda data: data.replace(b'"b"', b'"\\ud800"'), "not valid JSON"),
        (lambda data: b"[]", "not a JSON object"),
    ],
)
def test_an_altered_file_is_refused_and_says_what_to_do(
    tmp_path: Path, change: Callable[[bytes], bytes], says: str
) -> None:
    file = tmp_path / "counts.json"
    file.write_bytes(change(sealed_bytes("counts.json", FACTS)))
    with pytest.raises(DataError, match=r"counts\.json .*altered after it was written") as caught:
        read(file)
    assert says in str(caught.value) and AGAIN in str(caught.value.action) and caught.value.file == str(file)


def test_an_absent_file_is_named_and_one_that_cannot_be_read_is_no_fault_of_the_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not found") as caught:
        read(tmp_path / "a.json")
    assert AGAIN in str(caught.value.action)
    (tmp_path / "a.json").mkdir()
    with pytest.raises(MachineError, match="cannot be read"):
        read(tmp_path / "a.json")


def test_a_file_of_an_older_version_is_accepted_only_on_request_and_is_named(tmp_path: Path) -> None:
    file, old = tmp_path / "a.json", []
    file.write_bytes(json_bytes(FACTS))
    assert read(file, unsealed=old) == FACTS and old == [file.as_posix()]
    file.write_bytes(sealed_bytes("a.json", FACTS).replace(b"0.5", b"0.6"))
    with pytest.raises(DataError, match="altered"):
        read(file, unsealed=old)


def test_a_file_is_not_older_than_seals_because_one_bit_of_the_key_flipped(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    for bit in range(8):
        name = bytes([SEAL.encode()[0] ^ 1 << bit]) + SEAL.encode()[1:]
        file.write_bytes(sealed_bytes("a.json", FACTS).replace(SEAL.encode(), name))
        with pytest.raises(DataError, match="altered"):
            read(file, unsealed=[])


def test_a_sealed_file_in_the_place_of_another_is_refused(tmp_path: Path) -> None:
    publish_sealed(tmp_path / "counts.json", FACTS)
    (tmp_path / "counts.json").rename(tmp_path / "staging.json")
    with pytest.raises(DataError, match=r"staging\.json was altered"):
        read(tmp_path / "staging.json")


def test_a_file_of_another_corpus_is_refused(tmp_path: Path) -> None:
    publish_sealed(tmp_path / "counts.json", FACTS)
    assert read(tmp_path / "counts.json", corpus="drawn") == FACTS
    with pytest.raises(DataError, match="is of corpus 'drawn', not of 'mine'"):
        read(tmp_path / "counts.json", corpus="mine")


# ---- the manifest


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    write_manifest(tmp_path / "manifest.jsonl", make_utterances(make_params(), dialogues=1, used=4, unused=1))
    return tmp_path / "manifest.jsonl"


def test_sha256sum_checks_the_manifest(manifest: Path) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("sha256sum is not on this machine")
    command = ["sha256sum", "-c", "manifest.sha256"]
    assert (
        subprocess.run(command, cwd=manifest.parent, check=True, capture_output=True).stdout == b"manifest.jsonl: OK\n"
    )
    manifest.write_bytes(manifest.read_bytes().replace(b"Ses01", b"Ses02", 1))
    assert subprocess.run(command, cwd=manifest.parent, capture_output=True).returncode == 1


def test_a_manifest_without_its_digest_or_with_another_is_refused(manifest: Path) -> None:
    whole, digest_path = manifest.read_bytes(), manifest.with_suffix(".sha256")
    rows = whole.splitlines(keepends=True)
    for changed in (b"".join(rows[:-1]), whole.replace(b'"sad"', b'"hap"', 1), b"", whole + b"\n"):
        manifest.write_bytes(changed)
        with pytest.raises(DataError, match=r"manifest\.jsonl was altered after it was written") as caught:
            read_manifest(manifest, corpus="drawn")
        assert AGAIN in str(caught.value.action)
    manifest.write_bytes(whole)
    for text in (
        "",
        "0" * 64,
        f"{'0' * 64}  other.jsonl\n",
        digest_path.read_text() * 2,
        digest_path.read_text().upper(),
    ):
        digest = digest_path.read_text()
        digest_path.write_text(text)
        with pytest.raises(DataError, match=r"manifest\.sha256 was altered"):
            read_manifest(manifest)
        digest_path.write_text(digest)
    digest_path.unlink()
    with pytest.raises(DataError, match="not found") as caught:
        read_manifest(manifest)
    assert str(caught.value.file).endswith("manifest.sha256")


def test_a_manifest_of_another_corpus_or_of_two_is_refused(manifest: Path) -> None:
    assert read_manifest(manifest, corpus="drawn") == read_manifest(manifest)
    with pytest.raises(DataError, match="is of corpus 'drawn', not of 'mine'"):
        read_manifest(manifest, corpus="mine")
    rows = manifest.read_bytes().splitlines(keepends=True)
    rows[-1] = rows[-1].replace(b'"corpus": "drawn"', b'"corpus": "mine"')
    manifest.write_bytes(b"".join(rows))
    vouch(manifest)
    with pytest.raises(DataError, match="is of corpus 'mine', not of 'drawn'"):
        read_manifest(manifest)


# ---- a run's files


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Two seeds of one variant, scored."""
    params, paths = make_params(variants=["foal"], seeds=[1, 2]), Paths("drawn", tmp_path)
    utterances = make_utterances(params, dialogues=1, used=8, unused=1)
    write_stages(params, paths, utterances)
    for seed in (1, 2):
        write_model(params, paths, utterances, "foal", seed)
        evaluate_run(params, paths, variant="foal", seed=seed)
    return paths


def swap(one: Path, two: Path) -> None:
    data = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(data)


def test_metrics_vouch_for_their_predictions(paths: Paths) -> None:
    folder = paths.run("foal", 1)
    results = read_results(paths, folder)
    assert results is not None and len(results.rows) == results.metrics["predictions"]["rows"] == 40
    assert read_results(paths, paths.run("foal", 3)) is None
    predictions = folder / "predictions.jsonl"
    whole = predictions.read_bytes()
    for changed in (whole.replace(b'"sad"', b'"bad"', 1), b"".join(whole.splitlines(keepends=True)[:-1]), b""):
        predictions.write_bytes(changed)
        with pytest.raises(DataError, match=r"predictions\.jsonl was altered .* or .*metrics\.json was") as caught:
            read_results(paths, folder)
        assert "evaluate@drawn-foal-s1" in str(caught.value.action)
    for name in ("predictions.jsonl", "metrics.json"):
        kept = (folder / name).read_bytes()
        (folder / name).unlink()
        with pytest.raises(DataError, match="not found") as caught:
            read_results(paths, folder)
        assert str(caught.value.file).endswith(name)
        (folder / name).write_bytes(kept)


def test_the_files_of_two_runs_in_each_others_place_are_refused(paths: Paths) -> None:
    one, two = paths.run("foal", 1), paths.run("foal", 2)
    swap(one / "predictions.jsonl", two / "predictions.jsonl")
    with pytest.raises(DataError, match=r"predictions\.jsonl was altered"):
        read_results(paths, one)
    swap(one / "metrics.json", two / "metrics.json")
    with pytest.raises(DataError, match=r"metrics\.json belongs to another run, .*seed 2, .*not in this folder"):
        read_results(paths, one)
    reseal(one / "metrics.json", lambda facts: facts | {"seed": 1, "corpus": "mine"})
    with pytest.raises(DataError, match="corpus mine"):
        read_results(paths, one)
    swap(paths.model("foal", 1) / "train.json", paths.model("foal", 2) / "train.json")
    with pytest.raises(DataError, match=r"train\.json belongs to another run: .*seed 2"):
        read_train(paths, variant="foal", seed=1)


@pytest.mark.parametrize("name", ["logits.json", "logits.safetensors"])
def test_train_vouches_for_its_logits(paths: Paths, name: str) -> None:
    params = make_params(variants=["foal"], seeds=[1, 2])
    swap(paths.model("foal", 1) / name, paths.model("foal", 2) / name)
    if name == "logits.json":  # both runs have the same keys
        file = paths.model("foal", 1) / name
        file.write_bytes(file.read_bytes().replace(b"Ses01F_impro01_F", b"Ses01F_impro01_M", 1))
    with pytest.raises(DataError, match=rf"{name} was altered .* or .*train\.json was") as caught:
        evaluate_run(params, paths, variant="foal", seed=1)
    assert "train@drawn-foal-s1" in str(caught.value.action)


def test_results_of_older_versions_are_read_on_request_and_damaged_rows_are_named(paths: Paths) -> None:
    folder = paths.run("foal", 1)
    metrics = json.loads((folder / "metrics.json").read_bytes())
    (folder / "metrics.json").write_bytes(
        json_bytes({k: v for k, v in metrics.items() if k not in (SEAL, "predictions")})
    )
    with pytest.raises(DataError, match="has no seal"):
        read_results(paths, folder)
    old: list[str] = []
    results = read_results(paths, folder, unsealed=old)
    assert results is not None and len(results.rows) == 40 and len(old) == 1
    (folder / "metrics.json").write_bytes(json_bytes({k: v for k, v in metrics.items() if k != SEAL}))
    with pytest.raises(DataError, match="it has a digest of predictions but no seal"):
        read_results(paths, folder, unsealed=[])
    (folder / "metrics.json").write_bytes(
        json_bytes({k: v for k, v in metrics.items() if k not in (SEAL, "predictions")})
    )
    lines = (folder / "predictions.jsonl").read_bytes().splitlines(keepends=True)
    text = json_bytes(json.loads(lines[3]) | {"probabilities": ["0", 1.0, 0.0, 0.0]}).replace(b"\n", b"") + b"\n"
    for bad, says in (
        (b"[]\n", "keys are not those"),
        (lines[2], "occurs twice"),
        (lines[0], "does not follow"),
        (text, "valid number"),
        (b"{\n", "not valid JSON"),
    ):
        (folder / "predictions.jsonl").write_bytes(b"".join([*lines[:3], bad, *lines[4:]]))
        with pytest.raises(DataError, match="line 4") as caught:
            read_results(paths, folder, unsealed=[])
        assert says in str(caught.value)
