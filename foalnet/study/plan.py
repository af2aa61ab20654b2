"""Plans a study: its corpus' params, its runs, and the comparisons that it makes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from foalnet.config.base import nearest
from foalnet.config.blocks import Train, encoders_from
from foalnet.config.load import DEFAULT_PARAMS, File, Params, merge, resolve
from foalnet.config.space import with_values
from foalnet.config.studies import Study
from foalnet.core.errors import UsageError
from foalnet.methods import config_of


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A study with the params of its corpus; `params.train` has the study's own values."""

    name: str
    study: Study
    params: Params

    def runs(self) -> Iterator[tuple[str, int, Train]]:
        """Yield (variant, seed, its params), variant by variant."""
        for variant in self.study.variants:
            train = with_values(self.params.train, self.study.settings.get(variant, {}))
            yield from ((variant, seed, train) for seed in self.study.seeds)

    def pairs(self) -> list[tuple[str, str]]:
        """Return the comparisons (a, b), a minus b: each variant with the reference, then `compare`."""
        study = self.study
        with_reference = [(name, study.reference) for name in study.variants if name != study.reference]
        return list(dict.fromkeys([*with_reference, *study.compare]))


def plan_of(file: File, name: str, *, path: Path = DEFAULT_PARAMS) -> Plan:
    """Return the plan of a study; UsageError (exit 2) names what is not known or stands twice."""
    if name not in file.studies:
        hint = nearest(name, file.studies) if file.studies else "params.yaml has none"
        raise UsageError(f"no study '{name}'; {hint}", file=path, action="see docs/study.md")
    study, where = file.studies[name], f"studies.{name}"
    entry = file.corpora.get(study.corpus)
    if entry is not None:
        changed = entry.model_copy(
            update={
                "train": merge(entry.train, study.train),
                "variants": [*study.variants, *_singles(file, study)],
                "seeds": study.seeds,
            }
        )
        file = file.model_copy(update={"corpora": {**file.corpora, study.corpus: changed}})
    params = resolve(file, study.corpus, path=path)
    named = [("reference", study.reference), *(("settings", each) for each in study.settings)]
    named += [("compare", each) for pair in study.compare for each in pair]
    for key, variant in named:
        if variant not in study.variants:
            raise UsageError(
                f"{where}.{key}: '{variant}' is not among its variants; {nearest(variant, study.variants)}",
                file=path,
                action="correct it in params.yaml",
            )
    plan = Plan(name=name, study=study, params=params)
    for variant, _, train in _checked(plan, where, path):
        config_of(variant, train)
    return plan


def _singles(file: File, study: Study) -> list[str]:
    """Return the variants whose encoders the study's variants take."""
    train: dict[str, Any] = merge(file.train, merge(file.corpora[study.corpus].train, study.train))
    if train.get("encoders") != "single":
        return []
    known = Train(variants=file.variants, encoders="single")
    singles = [one for variant in study.variants for one in encoders_from(variant, known).values()]
    return [one for one in dict.fromkeys(singles) if one not in study.variants]


def _checked(plan: Plan, where: str, path: Path) -> Iterator[tuple[str, int, Train]]:
    try:
        yield from plan.runs()
    except ValidationError as error:
        raise UsageError(
            f"{where}.settings: {error.errors()[0]['msg']}", file=path, action="correct it in params.yaml"
        ) from error
