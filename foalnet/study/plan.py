"""Plans a study: its corpus' params, its runs, and the comparisons that it makes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from foalnet.config.base import leaves, nearest
from foalnet.config.blocks import Choice, Train, encoders_from
from foalnet.config.load import DEFAULT_PARAMS, NAME, File, Params, merge, resolve
from foalnet.config.space import with_values
from foalnet.config.studies import Study
from foalnet.core.errors import UsageError
from foalnet.methods import config_of
from foalnet.methods.params import fields

# Params of `train` that decide who is trained and tested, and on what: a study sets them for all its variants.
SHARED = {"fold_by", "picture", "encoders"}
# Params that a search sets, by their last word.
SEARCHED = {"lr", "weight_decay", "head_dropout"}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A study with the params of its corpus; `params.train` has the study's own values."""

    name: str
    study: Study
    params: Params

    def trains(self) -> dict[str, Train]:
        """Return each variant's params: those of the corpus, with the variant's `settings`."""
        settings = self.study.settings
        names = dict.fromkeys((*self.study.variants, *self.params.variants))
        return {name: with_values(self.params.train, settings.get(name, {})) for name in names}

    def with_settings(self, variant: str, values: Mapping[str, Choice]) -> Plan:
        """Return the plan with more settings of a variant."""
        settings = {**self.study.settings, variant: {**self.study.settings.get(variant, {}), **values}}
        return replace(self, study=self.study.model_copy(update={"settings": settings}))

    def runs(self) -> list[tuple[str, int]]:
        """Return (variant, seed) of every run, variant by variant."""
        return [(variant, seed) for variant in self.study.variants for seed in self.study.seeds]

    def pairs(self) -> list[tuple[str, str]]:
        """Return the comparisons (a, b), a minus b, each once: each variant with the reference, then `compare`."""
        study = self.study
        every = [(name, study.reference) for name in study.variants if name != study.reference]
        once: dict[frozenset[str], tuple[str, str]] = {}
        for pair in (*every, *study.compare):
            once.setdefault(frozenset(pair), pair)
        return list(once.values())


def plan_of(file: File, name: str, *, path: Path = DEFAULT_PARAMS) -> Plan:
    """Return the plan of a study; UsageError (exit 2) names what is not known or stands twice."""
    if name not in file.studies:
        hint = nearest(name, file.studies) if file.studies else "params.yaml has none"
        raise UsageError(f"no study '{name}'; {hint}", file=path, action="see docs/study.md")
    if not NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' cannot name a study: use lower-case letters, digits and _, and start with a letter",
            file=path,
            action="give it another name",
        )
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
    _check(study, where, path)
    plan = Plan(name=name, study=study, params=params)
    try:
        trains = plan.trains()
    except ValidationError as error:
        raise UsageError(
            f"{where}.settings: {error.errors()[0]['msg']}", file=path, action="correct it in params.yaml"
        ) from error
    for variant, train in trains.items():
        config_of(variant, train)
    return plan


def part_of(plan: Plan, text: str) -> tuple[int, int]:
    """Return (I, N) of "I/N"; UsageError (exit 2) unless 1 <= I <= N, with a seed for each part."""
    numbers = re.fullmatch(r"(\d+)/(\d+)", text)
    part, parts = map(int, numbers.groups()) if numbers else (0, 0)
    if not 1 <= part <= parts <= len(plan.study.seeds):
        raise UsageError(
            f"--part {text}: study {plan.name} has {len(plan.study.seeds)} seeds, each trained by one part",
            action=f"write I/N with I from 1 to N, and N at most {len(plan.study.seeds)}",
        )
    return part, parts


def _check(study: Study, where: str, path: Path) -> None:
    """Raise UsageError (exit 2) for what would compare unlike with unlike, or have no effect."""
    faults = [f"train.{key}: it belongs to a block of its own" for key in {"methods", "variants"} & study.train.keys()]
    known = {path for path, _ in leaves(Train)} | {path for path, _ in fields()}
    for variant, values in study.settings.items():
        faults += [f"settings.{variant}.{key}: unknown; {nearest(key, known)}" for key in values if key not in known]
        faults += [f"settings.{variant}.{key}: all variants have the same" for key in values if key in SHARED]
        if study.search:
            faults += [f"settings.{variant}.{k}: `search` sets it" for k in values if k.split(".")[-1] in SEARCHED]
    faults += [f"compare: {a} with itself" for a, b in study.compare if a == b]
    if faults:
        raise UsageError(f"{where}.{faults[0]}", file=path, action="correct it in params.yaml")


def _singles(file: File, study: Study) -> list[str]:
    """Return the variants that give the study's variants their encoders."""
    train: dict[str, Any] = merge(file.train, merge(file.corpora[study.corpus].train, study.train))
    if train.get("encoders") != "single":
        return []
    known = Train(variants=file.variants, encoders="single")
    singles = [one for variant in study.variants for one in encoders_from(variant, known).values()]
    return [one for one in dict.fromkeys(singles) if one not in study.variants]
