"""The verb `audit`: exit codes, the files that it writes, and a corpus of params.yaml."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from foalnet.cli.audit import audit
from foalnet.core.errors import DataError, UsageError
from foalnet.core.paths import Paths
from tests.support.audits import CLASSES, manifest, rows, write
from tests.support.corpus.entries import entry_params
from tests.support.corpus.rows import make_utterances
from tests.support.projects import verb
from tests.support.sealing import write_manifest


def run(*args: object) -> Result:
    return CliRunner().invoke(audit, list(map(str, args)))


def test_a_right_file_ends_with_0_and_writes_json_and_page(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", rows())
    done = run(file, "--manifest", manifest(tmp_path), "--json", tmp_path / "a.json", "--page", tmp_path / "a.html")
    assert done.exit_code == 0 and "Checks" in done.output
    facts = json.loads((tmp_path / "a.json").read_text())
    assert facts["files"][0]["scores"]["ua"] == 0.75 and facts["paired"] is None
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")


def test_a_fault_ends_with_3_after_text_json_and_page(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", rows()[5:])
    done = run(file, "--manifest", manifest(tmp_path), "--json", tmp_path / "a.json", "--page", tmp_path / "a.html")
    assert isinstance(done.exception, DataError) and "faults in a.jsonl: missing" in str(done.exception)
    assert "fault    missing" in done.output and (tmp_path / "a.json").is_file() and (tmp_path / "a.html").is_file()


@pytest.mark.parametrize(
    "wrong",
    [
        ["absent.csv"],
        ["a.jsonl", "a.jsonl", "a.jsonl"],
        ["a.jsonl", "--corpus", "x", "--manifest", "y"],
        ["a.jsonl", "--column", "id"],
        ["a.jsonl", "--column", "key=absent"],
        ["a.jsonl", "--classes", "happy,sad"],
        ["a.jsonl", "--epoch", "3"],
        ["a.jsonl", "--manifest", "absent.jsonl"],
    ],
)
def test_wrong_usage_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.jsonl", rows())
    assert isinstance(run(*wrong).exception, UsageError)


def test_columns_and_classes_by_option(tmp_path: Path) -> None:
    of = [{"a": r["key"], "b": CLASSES.index(r["label"]), "c": r["probabilities"]} for r in rows()]
    file = write(tmp_path / "a.csv", of)
    roles = ["--column", "key=a", "--column", "label=b", "--column", "probabilities=c"]
    done = run(file, *roles, "--classes", ",".join(CLASSES), "--manifest", manifest(tmp_path))
    assert done.exit_code == 0, done.output


def test_a_corpus_of_params_by_the_command_line(repository: Path, tmp_path: Path) -> None:
    shutil.copy(repository / "params.yaml", tmp_path)
    utterances = make_utterances(entry_params())
    write_manifest(Paths("drawn", tmp_path).manifest, utterances)
    used = [u for u in utterances if u.used]
    write(tmp_path / "a.csv", [{"file": f"x/{u.key}.wav", "true": u.raw_label, "pred": u.label} for u in used])
    done = verb(tmp_path, "audit", "a.csv", "--corpus", "drawn", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all 420 utterances of corpus drawn have a row" in done.stdout
    write(tmp_path / "a.csv", [{"file": f"x/{u.key}.wav", "true": u.label, "pred": u.label} for u in used[1:]])
    done = verb(tmp_path, "audit", "a.csv", "--corpus", "drawn", "--page", "a.html", check=False)
    assert done.returncode == 3 and "missing" in done.stderr and (tmp_path / "a.html").is_file()
