"""Finished runs and reports, made without a model: what `evaluate` and `report` read, and their results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from foalnet.artifact.seal import publish_sealed
from foalnet.config import Params
from foalnet.config.blocks import SPLIT_OF, Split
from foalnet.core.files import json_bytes, publish_bytes
from foalnet.core.paths import Paths
from foalnet.core.records import Utterance
from foalnet.corpora.named import folds_of, record_of
from foalnet.evidence.metrics import best_epoch
from foalnet.evidence.report import build
from foalnet.stages.evaluate.scoring import evaluate_run
from tests.support.corpus.entries import entry_params
from tests.support.corpus.rows import make_utterances
from tests.support.sealing import revouch_model, write_manifest

VARIANTS = ("audio_only", "video_only", "baseline", "foal")
# How much of an utterance's class a variant sees: the margin of the right class' logit.
SKILL = {"audio_only": 1.9, "video_only": 1.0, "baseline": 2.3, "avel": 2.5, "mem": 2.4, "foal": 2.7}
BEST = {"sound": 0.74, "picture": 0.62, "both": 0.86, "late_average": 0.79, "chance": 0.25}
EPOCHS = 8


def make_params(corpus: str = "drawn", **entry: Any) -> Params:
    """Return params of one corpus with four variants and little work for a report."""
    plain = {
        "source": "data/drawn/raw" if corpus == "drawn" else "data/sources/x.json",
        "variants": list(VARIANTS),
        "report": {"bootstrap": 300},
    }
    return entry_params(corpus, **plain | entry)


def make_logits(labels: Sequence[int], clusters: Sequence[int], classes: int, skill: float, seed: int) -> np.ndarray:
    """Logits [E, N, C] that get better by epoch, with noise that utterances and whole clusters share over epochs."""
    generator = np.random.default_rng(seed)
    noise_NC = generator.normal(0, 1.2, (len(labels), classes))
    mood_K = generator.normal(0, 0.5, max(clusters) + 1)
    right_NC = np.eye(classes)[list(labels)]
    logits = []
    for epoch in range(EPOCHS):
        grown = skill * (1 - np.exp(-(epoch + 1) / 2.5))
        small = generator.normal(0, 0.4, noise_NC.shape)
        logits.append(right_NC * (grown + mood_K[list(clusters)])[:, None] + noise_NC + small)
    return np.stack(logits).astype(np.float32)


def write_model(
    params: Params,
    paths: Paths,
    utterances: Sequence[Utterance],
    variant: str,
    seed: int = 1,
    split: Split = "dev",
) -> Path:
    """Write one run as `train` leaves it: train.json, logits.json, logits.safetensors."""
    used = [u for u in utterances if u.used]
    names = list(params.manifest.classes)
    groups, planned = folds_of(params, used, split)
    cluster = {name: i for i, name in enumerate(sorted({u.dialogue for u in used}))}
    tensors: dict[str, np.ndarray] = {}
    index: dict[str, Any] = {"classes": names, "folds": {}}
    folds: dict[str, Any] = {}
    for place, fold in enumerate(planned):
        index["folds"][fold.name] = {}
        for part in ("dev", "test") if split == "dev" else ("test",):
            rows = [u for u in used if fold.part_of(groups[u.key]) == part]
            salt = 1000 * seed + 10 * place + sum(map(ord, variant)) * 7919 + (part == "dev")
            # A fourth session helps a little.
            skill = SKILL[variant.removesuffix("_half")] * (1.0 if split == "dev" else 1.15)
            labels = [names.index(str(u.label)) for u in rows]
            tensors[f"{fold.name}/{part}"] = make_logits(
                labels, [cluster[u.dialogue] for u in rows], len(names), skill, salt
            )
            index["folds"][fold.name][part] = [u.key for u in rows]
        best, by_epoch = EPOCHS - 1, []
        if fold.dev:
            dev = [names.index(str(u.label)) for u in used if fold.part_of(groups[u.key]) == "dev"]
            best, by_epoch = best_epoch(tensors[f"{fold.name}/dev"], np.array(dev))
        folds[fold.name] = {"chosen_epoch": best + 1, "epochs_run": EPOCHS, "dev_ua": by_epoch, "bad_steps": 0}
    model = paths.model(variant, seed, split)
    model.mkdir(parents=True, exist_ok=True)
    save_file(tensors, model / "logits.safetensors")
    publish_bytes(model / "logits.json", json_bytes(index))
    train = {
        "schema": 1,
        "corpus": params.corpus,
        "variant": variant,
        "seed": seed,
        "split": split,
        "classes": names,
        "folds": folds,
        "determinism": "strict",
        "device": "cpu",
        "threads": 2,
        "processor": "GenuineIntel family 6 model 106",
        "instructions": "ATen AVX2, oneDNN AVX2, MKL COMPATIBLE",
        "code": "d" * 64,
        "params": "e" * 64,
        "versions": {"numpy": "2.4.6", "torch": "2.13.0"},
        "counts": {"audio_truncated": 0, "pairs_without_negative": 12, "weights": 123_456},
    }
    if named := record_of(params, used, split):
        train["named_split"] = named
    publish_sealed(model / "train.json", train)
    revouch_model(model)
    return model


IGNORED = {"shadow": 5, "other": 1, "misfiled": 2}
MISFILED = {"misfiled": ["Session1/sentences/wav/Ses01F_impro02/Ses01F_impro01_F000.wav"]}


def write_stages(
    params: Params, paths: Paths, utterances: Sequence[Utterance], facts: dict[str, Any] | None = None
) -> None:
    """Write manifest, inventory, counts and staging of a corpus with a few drops and repairs."""
    write_manifest(paths.manifest, utterances)
    files = [
        {"path": f"Session1/dialog/wav/{name}.wav", "role": "dialogue_audio", "sha256": "0" * 64, "size": 640_044}
        for name in sorted({u.dialogue for u in utterances})
    ]
    inventory = {"corpus": params.corpus, "reader": params.reader, "files": files}
    inventory |= {"ignored": IGNORED, "named": MISFILED, "facts": facts or {"drawn": params.corpus == "drawn"}}
    publish_sealed(paths.inventory, inventory)
    used = sum(u.used for u in utterances)
    counts = {
        "corpus": params.corpus,
        "reader": params.reader,
        "counted": {"utterances": len(utterances)},
        "expected": None,
        "breaches": [],
        "used": used,
        "ignored_files": IGNORED,
        "ignored_named": MISFILED,
        "ledger": {"kept": used, "kept/label_not_used": len(utterances) - used, "repaired/transcript_missing": 1},
        "entries": [
            {"kind": "repaired", "item": utterances[3].key, "reason": "transcript_missing", "detail": ""},
        ],
    }
    publish_sealed(paths.counts, counts)
    publish_sealed(paths.staging, make_staging(params, utterances))


def make_staging(params: Params, utterances: Sequence[Utterance]) -> dict[str, Any]:
    """The account of staging: most frames with a face, two repaired sounds."""
    sessions, speakers = (sorted({getattr(u, name) for u in utterances}) for name in ("session", "speaker"))
    frames = 48 * len(utterances)
    repaired = [
        {"kind": "repaired", "item": u.key, "reason": "wav_from_dialogue", "detail": ""} for u in utterances[10:12]
    ]
    return {
        "corpus": params.corpus,
        "side_rule": "the actor named by the dialogue sits left",
        "tools": {
            "code": "a" * 64,
            "ffmpeg": "b" * 64,
            "packages": {"numpy": "2.4.6"},
            "detector": {"name": "haar", "digest": "c" * 64, "weights": {"cascade.xml": "d" * 64}},
        },
        "dialogues": len({u.dialogue for u in utterances}),
        "utterances": {"staged": len(utterances), "dropped": 0, "not_staged": 0},
        "sound": {"rate_hz": 16000, "seconds": round(sum(u.end_s - u.start_s for u in utterances), 2)},
        "shards": {"count": len({u.dialogue for u in utterances}), "bytes": 12_345_678},
        "frames": {
            "total": frames,
            "detected": frames // 6,
            "bridged": frames - frames // 6 - 300,
            "missing": {"no_face": 300},
        },
        "coverage": {
            "overall": 0.9871,
            "by_session": {name: 0.99 - 0.01 * i for i, name in enumerate(sessions)},
            "by_speaker": dict.fromkeys(speakers, 0.98),
        },
        "no_face": [utterances[0].key],
        "jumps": 3,
        "features": None,
        "ledger": {
            "counts": {"kept": len(utterances) - 3, "kept/no_face": 1, "repaired/wav_from_dialogue": 2},
            "entries": [{"kind": "kept", "item": utterances[0].key, "reason": "no_face", "detail": ""}, *repaired],
        },
    }


def write_report(home: Path, params: Params, utterances: Sequence[Utterance] | None = None, best: Any = None) -> Paths:
    """Write stages and runs of a corpus, evaluate them, build the report."""
    paths = Paths(params.corpus, home)
    utterances = utterances or make_utterances(params)
    write_stages(params, paths, utterances, {"drawn": True, "best_scores": best} if best else None)
    for variant in params.variants:
        for seed in params.seeds:
            for split in dict.fromkeys(SPLIT_OF[protocol] for protocol in params.protocols):
                write_model(params, paths, utterances, variant, seed, split)
                evaluate_run(params, paths, variant=variant, seed=seed, split=split)
    build(params, paths)
    return paths
