"""Stages RAVDESS for bench.ravdess with foalnet's own stages into a work folder, and reads it once.

Shape letters: N utterances, X features.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foalnet.artifact.table import read_manifest
from foalnet.config import Params, Settings, load_settings, resolve
from foalnet.config.load import Entry, File, merge, read_file
from foalnet.config.presets import preset_for
from foalnet.core.errors import UsageError
from foalnet.core.files import sha256_file
from foalnet.core.paths import Paths
from foalnet.core.records import Utterance
from foalnet.core.shim import one_torch_thread
from foalnet.corpora import get_reader
from foalnet.corpora.inventory import inventory
from foalnet.corpora.ravdess import EMOTIONS
from foalnet.corpora.splits import Fold, groups_of, loso_all_others
from foalnet.nets.functionals import functionals
from foalnet.shards import INDEX, open_shards
from foalnet.stages.manifest.build import build
from foalnet.stages.shards.staging import stage
from foalnet.stages.train.training import Given, run_facts
from foalnet.train.batches import Store, load_store

REPOSITORY = Path(__file__).resolve().parent.parent
CLASSES = {4: ("neutral", "happy", "sad", "angry"), 8: EMOTIONS}


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """One class set, staged and read; both arms of the bench use it.

    `inputs`: digests of the inputs; `facts`: code, params, versions at the time of reading, whatever is edited later.
    """

    params: Params
    settings: Settings
    utterances: Sequence[Utterance]
    store: Store
    inputs: Mapping[str, str]
    facts: Mapping[str, Any]

    @property
    def keys(self) -> list[str]:
        """Return the keys of all used utterances, sorted."""
        return [u.key for u in self.utterances]

    @property
    def groups(self) -> dict[str, str]:
        """Return utterance key -> its group of actors, as foalnet forms them."""
        return groups_of(self.utterances, self.params.train.fold_by)

    @property
    def folds(self) -> list[Fold]:
        """Return foalnet's folds without a dev part: four groups of actors train, the fifth is tested."""
        return loso_all_others(self.groups.values())

    def sound_NX(self) -> np.ndarray:
        """Return the functionals of each utterance's sound, the same numbers that the networks' encoder computes."""
        rate_hz = self.store.shape.rate_hz
        with one_torch_thread():
            rows = [
                functionals(torch.from_numpy(self.store.clips[key].parts["audio"].values), rate_hz) for key in self.keys
            ]
        return torch.stack(rows).double().numpy()

    def units_NX(self) -> np.ndarray:
        """Return the action units of each utterance."""
        return np.stack([self.store.clips[key].parts["video"].values[0] for key in self.keys]).astype(np.float64)


def ravdess_root(given: Path | None) -> Path:
    """Return the corpus' folder: the option, or `ravdess` in FOALNET_SHARED_DATA (UsageError, exit 2, without one)."""
    shared = os.environ.get("FOALNET_SHARED_DATA")
    root = given or (Path(shared) / "ravdess" if shared else None)
    if root is None or not root.is_dir():
        raise UsageError(
            "RAVDESS is not there" if root else "the folder of RAVDESS is not given",
            file=root,
            action="give --root FOLDER (Actor_01 … and action_units.tsv), or set FOALNET_SHARED_DATA to its parent",
        )
    return root.resolve()


def params_of(count: int, train: Mapping[str, Any]) -> Params:
    """Return the params of `add-corpus ravdess` with its preset for 4 or 8 classes; `train` overrides them."""
    reader = get_reader("ravdess")
    base = merge(reader.entry_preset, preset_for("ravdess", "ravdess").entry)
    name = f"ravdess{count}"
    entry = Entry(
        reader="ravdess",
        source="bench",
        variants=["foal"],
        seeds=[1],
        manifest={"classes": {label: reader.class_presets[label] for label in CLASSES[count]}, "contract": None},
        shards=base.get("shards", {}),
        features=base.get("features", {}),
        train=merge(base.get("train", {}), dict(train)),
        evaluate={},
        report={},
    )
    file = read_file(REPOSITORY / "params.yaml")
    return resolve(File(**{**dict(file), "corpora": {name: entry}, "runs": {}}), name)


def stage_corpus(root: Path, count: int, work: Path, train: Mapping[str, Any]) -> Corpus:
    """Run the stages up to shards and read them; shards that are staged already are reused."""
    params = params_of(count, train)
    paths = Paths(params.corpus, home=work)
    settings = load_settings(work).model_copy(
        update={"roots": {params.corpus: str(root)}, "work": work / "cache", "device": "cpu", "threads": 1}
    )
    facts = run_facts(params.train.of("foal"), settings, Given(), variant="foal")
    inventory(params, settings, paths.inventory)
    build(params, settings, paths.inventory, paths.manifest, paths.counts)
    stage(
        params,
        settings,
        root=root,
        inventory=paths.inventory,
        manifest=paths.manifest,
        out=paths.shards,
        report=paths.staging,
    )
    used = sorted((u for u in read_manifest(paths.manifest) if u.used), key=lambda u: u.key)
    store = load_store(open_shards(paths.shards), {u.key for u in used}, params.train)
    kept = [u for u in used if u.key in store and store.clips[u.key].parts["video"].mask_T.any()]
    digests = {"manifest": sha256_file(paths.manifest), "shards": sha256_file(paths.shards / INDEX)}
    return Corpus(params=params, settings=settings, utterances=kept, store=store, inputs=digests, facts=facts)
