"""params.yaml and settings.yaml have one reader, DVC's YAML 1.2, and nonsense is refused before a stage runs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import load_yaml

from foalnet.checks.verify import lock
from foalnet.cli import main
from foalnet.cli.entries import add
from foalnet.cli.new_entry import NewEntry
from foalnet.config import blocks, load_params, load_settings, tuning
from foalnet.config.base import Frozen
from foalnet.config.load import Entry, Run, read_file
from foalnet.config.settings import Settings
from foalnet.config.yamls import read_yaml
from foalnet.core.errors import UsageError
from foalnet.methods import METHODS
from tests.support.corpus.trees import iemocap_tree

# Texts that YAML 1.1 takes for something else; numbers that it takes for texts.
VALUES = "a: yes\nb: on\nc: 1:30\nd: 1e-3\ne: 017\nf: 0o17\ng: true\nh: ~\ni: '3'\nj: off\nk: 2e-05\n"


@pytest.mark.long
def test_the_readers_agree_with_dvc(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "words.yaml").write_text(VALUES)
    for path in (tmp_path / "words.yaml", repository / "params.yaml", repository / "dvc.lock"):
        theirs = load_yaml(str(path))
        assert read_yaml(path) == theirs and lock.load(path) == theirs, path
    read = read_yaml(tmp_path / "words.yaml")
    assert (read["a"], read["c"], read["d"], read["k"]) == ("yes", "1:30", 0.001, 2e-05)


def test_no_code_reads_yaml_by_another_reader(repository: Path) -> None:
    other = re.compile(r"\byaml\.(?:safe_load|load|full_load)|typ=.safe.")
    places = {
        path.relative_to(repository).as_posix()
        for folder in ("foalnet", "flows", "bench")
        for path in (repository / folder).rglob("*.py")
        if other.search(path.read_text("utf-8"))
    }
    assert places == {"foalnet/config/yamls.py"}


SEEDS = "    seeds:\n    - 1\n    - 2\n    - 3\n    proto"
EDITS = [
    # What is written, what is written instead, key, what is said of it.
    ("      epochs: 11\n", "      epochs: 11\n      epochs: 31\n", "epochs", 'duplicate key "epochs"'),
    ("      epochs: 11\n", "      epochs: true\n", "train.epochs", "valid integer (got true)"),
    ("      epochs: 11\n", '      epochs: "11"\n', "train.epochs", 'got the text "11"'),
    ("      epochs: 11\n", "      epochs: 11.0\n", "train.epochs", "valid integer"),
    (SEEDS, SEEDS.replace("1", "yes"), "corpora.drawn.seeds.0", 'got the text "yes"'),
    (SEEDS, SEEDS.replace("- 1", "- 1\n    - 1"), "seeds", "occurs twice"),
    (SEEDS, "    seeds: []\n    proto", "seeds", "at least 1 item"),
    (SEEDS, SEEDS.replace("1", "-1"), "seeds.0", "greater than or equal to 0"),
    ("  seed: 7 ", "  seed: 1:30 ", "report.seed", 'got the text "1:30"'),
    ("  seed: 7 ", "  seed: 2001-01-01 ", "report.seed", "is a date"),
    ("  letterbox: true ", "  letterbox: on ", "shards.letterbox", "write true or false"),
    ("  lr: 0.002 ", '  lr: "0.002" ', "train.lr", 'got the text "0.002"'),
    ("  level: 0.95 ", "  level: 1.0 ", "report.level", "less than 1"),
    ("  level: 0.95 ", "  level: 0.5 ", "report.level", "greater than 0.5"),
    ("  level: 0.95 ", "  level: 0.9999 ", "report", "write at least 20000"),
    ("  bootstrap: 10000 ", "  bootstrap: 2000000000 ", "report.bootstrap", "less than or equal to 100000"),
    ("  face_px: 64 ", "  face_px: 100000 ", "shards.face_px", "less than or equal to 1024"),
    ("neutral: [neu]", "neutral: []", "manifest.classes.neutral", "at least 1 item"),
    ("neutral: [neu]", "neutral: [neu, ang]", "manifest.classes", "'ang' is in class 'neutral' and in class 'angry'"),
    ("  - - foal\n    - baseline\n", "  - - foal\n    - basline\n", "report.compare.0.1", "no variant 'basline'"),
    ("  share_both: 0.36 ", "  share_both: 0.48 ", "draw", "add up to 1.1200, not to 1"),
    ("  length_min_s: 1.2 ", "  length_min_s: 2.5 ", "draw", "length_min_s 2.5 is above length_max_s 2.0"),
    ("  detector: haar ", "  detector: harr ", "shards.detector", "did you mean 'haar'?"),
    ("    encoder: crop_cnn ", "    encoder: crop_cn ", "train.video.encoder", "did you mean 'crop_cnn'?"),
    ("      contract:\n", "      contract: {utterances: -3}\n", "manifest.contract", "greater than or equal to 0"),
]


@pytest.mark.parametrize(("old", "new", "key", "says"), EDITS)
def test_nonsense_in_params_is_refused_with_file_line_key_and_next_action(
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    old: str,
    new: str,
    key: str,
    says: str,
) -> None:
    text = (repository / "params.yaml").read_text()
    assert text.count(old) == 1
    edited = text.replace(old, new)
    (tmp_path / "params.yaml").write_text(edited)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["foalnet", "config"])
    with pytest.raises(SystemExit) as ended:
        main()
    stderr = capfd.readouterr().err
    assert ended.value.code == 2, stderr
    assert key in stderr and says in stderr and "params.yaml" in stderr and "next: " in stderr
    pairs = zip(text.splitlines(), edited.splitlines(), strict=False)
    changed = next(number for number, (before, after) in enumerate(pairs, 1) if before != after)
    head = text[: text.find(f"\n{key}:") + 1].count("\n") + 1  # a fault of a whole block is at its head
    said = [int(number) for number in re.findall(r"\bline (\d+)", stderr)]
    assert (said and set(said) <= {changed, head}) or key.endswith(("encoder", "detector")) or "occurs twice" in stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("workers: 2\nworkers: 3\n", 'line 2: found duplicate key "workers"'),
        ("slots: 1\nworkers: true\n", "workers (line 2): Input should be a valid integer (got true)"),
        ("workers: '2'\n", 'workers (line 1): Input should be a valid integer (got the text "2")'),
        ("silence_s: 2:00\n", 'silence_s (line 1): Input should be a valid number (got the text "2:00")'),
        ("workers: 1000000\n", "workers (line 1): Input should be less than or equal to 1024"),
        ("roots: {a: 3}\n", "roots.a (line 1): Input should be a valid string (got 3)"),
        ("work: 7\n", "work (line 1): Input"),
    ],
)
def test_nonsense_in_settings_is_refused_with_file_line_key_and_next_action(
    tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "settings.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load_settings(tmp_path)
    assert says in str(caught.value) and str(tmp_path / "settings.yaml") in str(caught.value)
    assert "next: " in str(caught.value)


def test_a_number_without_a_point_is_a_float_where_one_belongs(repository: Path, tmp_path: Path) -> None:
    text = (repository / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("  max_s: 10.0 ", "  max_s: 8 ").replace(": 0.002 ", ": 1e-3 "))
    train = load_params("drawn", tmp_path / "params.yaml").train
    assert (train.max_s, train.lr_end) == (8.0, 0.1)


def _unbounded(schema: Any, path: str) -> Iterator[str]:
    """Yield the places of a JSON schema that hold a number without both bounds."""
    if isinstance(schema, list):
        for part in schema:
            yield from _unbounded(part, path)
    elif isinstance(schema, dict):
        bounds = [name for name in schema if name.removeprefix("exclusive").lower() in ("minimum", "maximum")]
        if schema.get("type") in ("integer", "number") and "const" not in schema and len(bounds) < 2:
            yield path
        for name in ("anyOf", "items", "additionalProperties", "prefixItems"):
            yield from _unbounded(schema.get(name), path)


def test_every_number_of_params_and_settings_has_both_bounds() -> None:
    models = [
        each
        for each in [*vars(blocks).values(), *vars(tuning).values()]
        if isinstance(each, type) and issubclass(each, Frozen)
    ]
    models = [each for each in models if each not in (Frozen, tuning.Dimension)]  # a search has its param's bounds
    unbounded = [
        place
        for model in [*models, *(method.config_type for method in METHODS.values()), Entry, Run, Settings]
        for name, schema in model.model_json_schema()["properties"].items()
        for place in _unbounded(schema, f"{model.__name__}.{name}")
    ]
    # A method's own fields have the bounds of its params.
    assert len(models) > 12 and set(unbounded) <= {"Train.methods", "Entry.methods", "File.methods"}


def test_a_corpus_is_not_added_where_the_params_would_be_refused(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(repository / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    before = (tmp_path / "params.yaml").read_bytes()
    entry = NewEntry.parse(
        table=None,
        reader="iemocap",
        root=str(iemocap_tree(tmp_path / "root")),
        name=None,
        classes="happy=hap,glad=hap",
        variants="foal",
        seeds=None,
        epochs=None,
        preset=None,
    )
    with pytest.raises(UsageError, match="'hap' is in class 'happy' and in class 'glad'"):
        list(add(entry, write=True))
    assert (tmp_path / "params.yaml").read_bytes() == before and not (tmp_path / "settings.yaml").exists()
    read_file(tmp_path / "params.yaml")
