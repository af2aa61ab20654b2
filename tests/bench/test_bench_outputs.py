"""The bench of outputs: two folders that differ by digests of code alone have the same lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.outputs import main, outputs


def corpus(home: Path, *, code: str, ua: float) -> Path:
    for name, text in {
        "models/c/foal-s1/train.json": f'{{"code": "{code}", "seed": 1}}',
        "reports/c/metrics.json": f'{{"ua": {ua}}}',
        "data/c/manifest.jsonl": f'{{"key": "{code}"}}',
        "data/c/raw/film.avi": code,
    }.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    return home


def test_digests_in_json_do_not_count_and_all_else_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = corpus(tmp_path / "a", code="0a" * 32, ua=0.5)
    assert [path for _, path in outputs(first, "c")] == [
        "data/c/manifest.jsonl",
        "models/c/foal-s1/train.json",
        "reports/c/metrics.json",
    ]
    moved = corpus(tmp_path / "b", code="1b" * 32, ua=0.5)
    worse = corpus(tmp_path / "c", code="0a" * 32, ua=0.4)
    unlike = [
        {path for (one, path), (two, _) in zip(outputs(first, "c"), outputs(other, "c"), strict=True) if one != two}
        for other in (moved, worse)
    ]
    assert unlike == [{"data/c/manifest.jsonl"}, {"reports/c/metrics.json"}]
    main(["c", "--home", str(first)])
    assert len(capsys.readouterr().out.splitlines()) == 3
