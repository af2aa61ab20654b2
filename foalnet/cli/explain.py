"""Lists every param of a corpus with its value, the origin of the value, unit, meaning and source."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foalnet.config.base import leaves
from foalnet.config.load import DEFAULT_PARAMS, DRAWN, ENTRY_BLOCKS, Params, read_file, resolve
from foalnet.config.meanings import MEANINGS, SOURCES, SUFFIX_UNITS, Meaning
from foalnet.config.space import METHODS
from foalnet.methods.params import fields, mark, value_of

# In memory these are part of `train`; in params.yaml they are blocks of their own.
IN_MEMORY = ("train.methods", "train.variants")


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """One param: its dotted path, JSON value, `origin` (default, params.yaml, the entry), unit, meaning, source."""

    param: str
    value: Any
    origin: str
    unit: str
    meaning: str
    source: str

    def __str__(self) -> str:
        """Return two lines for a terminal."""
        value = self.value if isinstance(self.value, str) else json.dumps(self.value, ensure_ascii=False)
        unit = f" [{self.unit}]" if self.unit else ""
        return f"{self.param} = {value}{unit}   ({self.origin})\n    {self.meaning}. Source: {self.source}"

    def as_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return asdict(self)


def meaning_of(path: str, description: str) -> Meaning:
    """Return a param's meaning: the description in blocks.py first, then meanings.py and the suffix of the name.

    >>> meaning_of("draw.length_min_s", "shortest utterance").unit
    's'
    """
    meaning = MEANINGS.get(path, Meaning())
    unit = meaning.unit or next((unit for end, unit in SUFFIX_UNITS.items() if path.endswith(end)), "")
    blocks = [block for block in SOURCES if not block or f"{path}.".startswith(f"{block}.")]
    return Meaning(says=description or meaning.says, unit=unit, source=meaning.source or SOURCES[max(blocks, key=len)])


def explain(corpus: str, path: Path = DEFAULT_PARAMS) -> list[Explained]:
    """Return every param of a corpus in the order of the blocks (UsageError, exit 2, as `load_params`).

    The block `draw` is listed for the drawn corpus only, because no other corpus depends on it.

    >>> [row] = [row for row in explain("drawn") if row.param == "shards.margin"]
    >>> row.unit, row.origin
    ("share of the box's larger side", 'params.yaml')
    """
    file = read_file(path)
    params = resolve(file, corpus, path=path)
    entry = file.corpora[corpus].model_dump(exclude_unset=True)
    top = file.model_dump(exclude_unset=True, include={"draw", "methods", *ENTRY_BLOCKS})
    rows = []
    for param, meaning in meanings():
        if param.startswith("draw.") and corpus != DRAWN:
            continue
        steps = param.split(".")
        value = (
            value_of(params.train, param) if param.startswith(METHODS) else _at(params.model_dump(mode="json"), steps)
        )
        rows.append(
            Explained(
                param=param,
                value=value,
                origin=_origin(steps, entry, top, path, corpus),
                unit=meaning.unit,
                meaning=meaning.says,
                source=meaning.source,
            )
        )
    return rows


def meanings() -> Iterator[tuple[str, Meaning]]:
    """Yield (path, meaning) of every param, those of the methods behind the block `train`."""
    own = [(path, meaning_of(path, says)) for path, says in leaves(Params) if path not in IN_MEMORY]
    last = max(place for place, (path, _) in enumerate(own) if path.startswith("train."))
    yield from own[: last + 1]
    for path, field in fields():
        yield path, Meaning(says=field.description or "", unit=mark(field, "unit"), source=mark(field, "source"))
    yield from own[last + 1 :]


def _origin(steps: list[str], entry: Mapping[str, Any], top: Mapping[str, Any], path: Path, corpus: str) -> str:
    if steps == ["corpus"] or (steps[0] != "draw" and _has(entry, steps)):
        return f"{path.name}, entry corpora.{corpus}"
    return f"{path.name}" if _has(top, steps) else "default of the code"


def _has(tree: Any, steps: list[str]) -> bool:
    for step in steps:
        if not isinstance(tree, Mapping) or step not in tree:
            return False
        tree = tree[step]
    return True


def _at(tree: Any, steps: list[str]) -> Any:
    for step in steps:
        tree = tree[step]
    return tree
