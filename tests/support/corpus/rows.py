"""Utterances: one by its key, and whole manifests in the structure of a corpus."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from foalnet.config import Params
from foalnet.core.records import Utterance


def utterance(key: str = "Ses01F_impro01_F000", **changes: Any) -> Utterance:
    """Return the utterance of a key such as Ses01F_impro01_F000: one second, neutral, side and speaker by the key."""
    dialogue, _, suffix = key.rpartition("_")
    plain = Utterance(
        key=key, corpus="c", session=f"Session{key[4:5]}", dialogue=dialogue or key, speaker=f"{key[:5]}{suffix[:1]}",
        side="left" if suffix[:1] == key[5:6] else "right", start_s=0.0, end_s=1.0, raw_label="neu", label=None,
    )  # fmt: skip
    return replace(plain, **changes)


def make_utterances(
    params: Params, *, sessions: int = 5, dialogues: int = 6, used: int = 14, unused: int = 2, seed: int = 0
) -> list[Utterance]:
    """Return utterances in IEMOCAP's structure, sorted by key; `unused` of each dialogue have no class."""
    generator = np.random.default_rng(seed)
    names, raws = list(params.manifest.classes), params.manifest.classes
    utterances = []
    for session in range(1, sessions + 1):
        for number in range(dialogues):
            dialogue = f"Ses{session:02d}{'FM'[number % 2]}_impro{number + 1:02d}"
            for place, which in enumerate(generator.permutation(used + unused)):
                label = names[which % len(names)] if which < used else None
                start_s = round(3.0 * place + 0.5, 4)
                facts = {
                    "corpus": params.corpus,
                    "session": f"Ses{session:02d}",
                    "start_s": start_s,
                    "end_s": round(start_s + 1.2 + 0.8 * float(generator.random()), 4),
                    "raw_label": raws[label][which % len(raws[label])] if label else "xxx",
                    "label": label,
                    "reason": None if label else "label_not_used",
                }
                utterances.append(utterance(f"{dialogue}_{'FM'[place % 2]}{place:03d}", **facts))
    return sorted(utterances, key=lambda u: u.key)


def make_parts(params: Params, *, dialogues: int = 30, each: int = 14, shared: bool = True) -> list[Utterance]:
    """Return utterances of a corpus with the sessions train, dev and test; `shared`: the parts share their speakers."""
    names, raws = list(params.manifest.classes), params.manifest.classes
    rows = []
    for part in ("train", "dev", "test"):
        for number in range(dialogues):
            dialogue = f"{part}_{number:04d}"
            for place in range(each):
                label, who = names[place % len(names)], f"{'' if shared else part}Speaker{place % 3}"
                facts = {"corpus": params.corpus, "session": part, "dialogue": dialogue, "speaker": who}
                key = f"{dialogue}_{place:02d}"
                rows.append(utterance(key, side="whole", raw_label=raws[label][0], label=label, **facts))
    return sorted(rows, key=lambda u: u.key)


def make_speakers(params: Params, *, speakers: int = 16, each: int = 20) -> list[Utterance]:
    """Return utterances of a corpus without sessions: every speaker says every class equally often."""
    names, raws = list(params.manifest.classes), params.manifest.classes
    rows = []
    for speaker in range(1, speakers + 1):
        for place in range(each):
            actor, label = f"Actor_{speaker:02d}", names[place % len(names)]
            facts = {"corpus": params.corpus, "session": actor, "speaker": actor, "side": "whole", "end_s": 3.5}
            key = f"a{speaker:02d}-{place:03d}"
            rows.append(utterance(key, dialogue=key, raw_label=raws[label][0], label=label, **facts))
    return rows
