"""The checked params of one corpus, as params.yaml would give them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foalnet.config import Params, Settings, resolve
from foalnet.config.load import File

FOUR_CLASSES = {"happy": ["hap", "exc"], "neutral": ["neu"], "sad": ["sad"], "angry": ["ang"]}
# Two classes, so that one has utterances left where a test takes one away.
TWO_CLASSES = {"low": ["neu", "sad"], "high": ["hap", "exc", "ang"]}


def entry_params(corpus: str = "drawn", **entry: Any) -> Params:
    """Return the params of a corpus; `entry` overrides keys of its entry, blocks are empty where not given."""
    plain = {
        "reader": "iemocap",
        "source": "data/drawn/raw",
        "variants": ["foal"],
        "seeds": [1],
        "manifest": {"classes": FOUR_CLASSES},
        **{block: {} for block in ("shards", "train", "evaluate", "report")},
    }
    return resolve(File.model_validate({"corpora": {corpus: plain | entry}, "runs": {}}), corpus)


def make_settings(work: Path, roots: Mapping[str, Path] | None = None, **more: Any) -> Settings:
    """Return machine settings with their work folder and corpus roots."""
    return Settings(work=work, roots={name: str(path) for name, path in (roots or {}).items()}, workers=2, **more)
