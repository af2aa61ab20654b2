"""The presets of `add-corpus --preset`: overrides of params.yaml's blocks for an entry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from foalnet.config.base import nearest
from foalnet.config.blocks import PROTOCOLS
from foalnet.config.load import merge
from foalnet.config.versions import version
from foalnet.core.errors import UsageError

# The params that both versions of the paper's network share (docs/method.md, encoders and fusion).
_PROJECT: dict[str, Any] = {"project": 512, "project_dropout": 0.5}
_PAPER_NET: dict[str, Any] = {
    "train": {
        "picture": "features",
        "audio": {"encoder": "wavlm_large"},
        "video": {"encoder": "identity", "width": 768},
        "batch_size": 16,
    },
    "methods": {"foal": {"layers": 2, "heads": 4, "dropout": 0.1, **_PROJECT}, "single": _PROJECT},
}
_CORRECTED = merge(merge(_PAPER_NET, version(released=False)), {"train": {"warmup": 0.1, "lr_end": 0.1}})
_RELEASED = merge(_PAPER_NET, version(released=True))
_RELEASED_2024 = merge(_RELEASED, {"train": {"epochs": 30, "patience": 30}, "methods": {"foal": {"beta": 1.0}}})
# IEMOCAP's pictures show two heads, 35 to 45 pixels high and often in profile: yunet detects them without upscaling,
# with scores well away from 0.5 on both sides. A face below 24 pixels is neither actor's. With yunet it is faster to
# search around the last face first (faces/search.py), and every 12th frame is enough (docs/staging.md). Half pictures
# without black bars have 360 x 240 pixels and are staged unscaled.
_STAGING: dict[str, Any] = {
    "detector": "yunet",
    "detector_score": 0.5,
    "min_face_px": 24,
    "stride": 12,
    "roi": 2.0,
    "half_width_px": 360,
    "half_height_px": 240,
}


def _paper(blocks: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of a released version: every frame, the released seed, and all protocols."""
    return {
        "seeds": [1234],
        "protocols": list(PROTOCOLS),
        "shards": _STAGING,
        "features": {"encoder": "clip_vit_l14", "picture": "half", "frame_step": 1},
        **blocks,
    }


# Rivals as their authors ran them, as far as it is known and can be had here (docs/methods.md says what is not).
_SIX = "happy=hap,sad,neutral,angry,excited=exc,frustrated"
_ERC: dict[str, Any] = {"fold_by": "iemocap6-erc-100-20-31", "sampler": "natural", "schedule": "constant"}
_TEXTS: dict[str, Any] = {"encoder": "roberta", "steps": "utterance", "context": 1}
_GBAN: dict[str, Any] = {
    "train": {
        "fold_by": "gban-4490",
        "max_s": 7.5,
        "audio": {"encoder": "gban", "width": 256, "dropout": 0.0},
        "text": {"encoder": "gban", "width": 256, "dropout": 0.0},
        "epochs": 100,
        "patience": 5,
        "batch_size": 32,
        "lr": 1e-4,
        "schedule": "constant",
        "clip_norm": 5.0,
        "sampler": "natural",
    },
    "methods": {"gban": {"width": 256, "sequences": "encoders", "head_dropout": 0.5, "stem_dropout": 0.0}},
}
_M2FNET: dict[str, Any] = {
    "features": {"text": _TEXTS},
    "train": {
        **_ERC,
        "text": {"encoder": "mlp"},
        "batch_size": 4,
        "epochs": 50,
        "patience": 10,
        "lr": 5e-4,
        "weight_decay": 5e-4,
    },
    "methods": {"m2fnet": {"dropout": 0.4, "head_dropout": 0.4}},
    "report": {"weighted_f1": True},
}
_LMAM: dict[str, Any] = {
    "features": {"text": {**_TEXTS, "context": 0}},
    "train": {
        **_ERC,
        "sampler": "plain",
        "text": {"encoder": "mlp"},
        "batch_size": 16,
        "epochs": 60,
        "patience": 60,
        "lr": 1e-4,
        "weight_decay": 3e-5,
    },
    "methods": {"lmam": {"placement": "late", "hosts": "anchor", "layers": 4, "dropout": 0.5, "head_dropout": 0.5}},
    "report": {"weighted_f1": True},
}
_JMT: dict[str, Any] = {
    "train": {"batch_size": 32, "lr": 6e-4, "sampler": "natural", "schedule": "constant"},
    "methods": {"jmt": {"width": 512, "feedforward": 512, "head_dropout": 0.0, "stem_dropout": 0.0}},
}


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A preset: its reader (None: any), a description, and the overrides of params.yaml's blocks.

    `classes`, `variants`: what it has in place of the reader's own, in the form of the options of `add-corpus`.
    """

    reader: str | None
    what: str
    entry: dict[str, Any] = field(default_factory=dict)
    classes: str | None = None
    variants: str | None = None


PRESETS: dict[str, Preset] = {
    "drawn": Preset(reader=None, what="the small encoders of params.yaml: no weights, no GPU needed"),
    "iemocap": Preset(
        reader="iemocap",
        what="the paper's encoders, corrected version: WavLM-large fine-tuned, CLIP ViT-L/14 on half pictures",
        entry={
            "shards": _STAGING,
            "features": {"encoder": "clip_vit_l14", "picture": "half", "frame_step": 6},
            **_CORRECTED,
        },
    ),
    "iemocap-paper": Preset(
        reader="iemocap",
        what="the released code's version, row by row (docs/method.md); seed 1234; its protocol next to ours",
        entry=_paper(_RELEASED),
    ),
    "iemocap-paper-2024": Preset(
        reader="iemocap",
        what="the same as it was released in 2024: 30 epochs, weight 1.0 of the MEM loss",
        entry=_paper(_RELEASED_2024),
    ),
    "iemocap-gban": Preset(
        reader="iemocap",
        what="GBAN as published: speech and transcript, its own encoders, 4,490 utterances",
        entry=_GBAN,
        classes="happy=hap,neutral,sad,angry",
        variants="gban",
    ),
    "iemocap-m2fnet": Preset(
        reader="iemocap",
        what="M2FNet's network over dialogues, split and recipe, weighted F1; our encoders of sound and picture",
        entry=_M2FNET,
        classes=_SIX,
        variants="m2fnet",
    ),
    "iemocap-lmam": Preset(
        reader="iemocap",
        what="LMAM as released, over dialogues, full rank; our encoders of sound and picture",
        entry=_LMAM,
        classes=_SIX,
        variants="lmam",
    ),
    "iemocap-jmt": Preset(
        reader="iemocap",
        what="the task of JMT, valence and activation by 1 - CCC; our encoders and recipe",
        entry=_JMT,
        variants="audio_only,video_only,jmt_va,jmt",
    ),
    "paper_quirks": Preset(
        reader=None,
        what="every difference of the released code on the encoders and rates that the entry has (any corpus)",
        entry=version(released=True, recipe=False),
    ),
    "cremad-perceived": Preset(
        reader="cremad",
        what="an utterance's label is the emotion that most raters of the whole clip perceived, not the acted one",
        entry={"manifest": {"labels": "both"}},
    ),
    "ravdess": Preset(
        reader="ravdess",
        what="folds by speaker, statistics of the whole sound, pictures from the table of features",
        entry={
            "contract": None,
            "train": {
                "fold_by": "speaker",
                "picture": "features",
                "frame_step": 1,
                # Chosen on dev actors: bench/ravdess_trials.tsv.
                "epochs": 20,
                "patience": 20,
                "batch_size": 32,
                "lr": 1e-3,
                "audio": {"encoder": "functionals", "dropout": 0.3},
                "video": {"encoder": "mlp", "dropout": 0.3},
            },
        },
    ),
}


def preset_for(name: str, reader: str) -> Preset:
    """Return a preset (UsageError, exit 2, if it is unknown or belongs to another reader).

    >>> preset_for("ravdess", "ravdess").entry["train"]["fold_by"]
    'speaker'
    """
    fitting = {key: each for key, each in PRESETS.items() if each.reader in (None, reader)}
    if name not in fitting:
        why = f"it is for reader {PRESETS[name].reader}" if name in PRESETS else nearest(name, fitting)
        raise UsageError(
            f"no preset '{name}' for reader {reader}: {why}",
            action="correct --preset; `foalnet add-corpus --help` lists them",
        )
    return fitting[name]
