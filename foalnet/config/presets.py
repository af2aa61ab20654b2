"""Named starting points of an entry: what `add-corpus --preset` lays over the blocks of params.yaml."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from foalnet.config.base import nearest
from foalnet.errors import UsageError

# METHOD, encoders and objective: what both readings of the paper's network share.
_PAPER_NET: dict[str, Any] = {
    "picture": "features",
    "audio": {"encoder": "wavlm_large", "dropout": 0.1},
    "video": {"encoder": "linear", "width": 768, "dropout": 0.1},
    "fusion": {
        "layers": 2,
        "heads": 4,
        "dropout": 0.1,
        "project": 512,
        "project_dropout": 0.5,
        "head_dropout": 0.1,
    },
    "objective": {"alpha": 1.0, "beta": 0.1},
    "epochs": 40,
    "batch_size": 16,
    "lr": 1e-4,
    "weight_decay": 0.01,
    "sampler": "balanced",
}
# Two heads a picture, 35 to 45 pixels high, often in profile: yunet finds them at their own size, and its scores leave
# room on both sides of 0.5. Less than 24 pixels is no head of the two. With yunet it pays to look around the last face
# first (faces/search.py). Without their black bars the halves are 360 x 240: as CLIP looks at them, unscaled.
_STAGING: dict[str, Any] = {
    "detector": "yunet",
    "detector_score": 0.5,
    "min_face_px": 24,
    "roi": 3.0,
    "half_width_px": 360,
    "half_height_px": 240,
}


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A starting point: for which reader (None: any), in words, and what it lays over the blocks of params.yaml."""

    reader: str | None
    what: str
    entry: dict[str, Any] = field(default_factory=dict)


PRESETS: dict[str, Preset] = {
    "drawn": Preset(reader=None, what="the small encoders of params.yaml: no weights, no GPU needed"),
    "iemocap": Preset(
        reader="iemocap",
        what="the paper's encoders, corrected reading: WavLM-large fine-tuned, CLIP ViT-L/14 on half pictures",
        entry={
            "shards": _STAGING,
            "features": {"encoder": "clip_vit_l14", "picture": "half", "frame_step": 6},
            "train": _PAPER_NET
            | {
                "frame_step": 6,
                "max_s": 10.0,
                "patience": 8,
                "lr_encoder": 2e-5,
                "warmup": 0.1,
                "lr_end": 0.1,
                "clip_norm": 1.0,
            },
        },
    ),
    "iemocap-paper": Preset(
        reader="iemocap",
        what="the released code's reading, as far as its quirks are params: 6 s, every frame, one constant rate, "
        "raw amplitude",
        entry={
            "shards": _STAGING,
            "features": {"encoder": "clip_vit_l14", "picture": "half", "frame_step": 1},
            "train": _PAPER_NET
            | {
                "audio": {"encoder": "wavlm_large", "dropout": 0.1, "input_norm": "none"},
                "frame_step": 1,
                "max_s": 6.0,
                "patience": 40,
                "lr_encoder": None,
                "warmup": 0.0,
                "lr_end": 1.0,
                # Larger than any gradient: the released code does not clip.
                "clip_norm": 1e9,
            },
        },
    ),
    "ravdess": Preset(
        reader="ravdess",
        what="folds by speaker, pictures from the table of features",
        entry={
            "contract": None,
            "train": {
                "fold_by": "speaker",
                "picture": "features",
                "frame_step": 1,
                "epochs": 24,
                "patience": 24,
                "lr": 1e-3,
                "video": {"encoder": "linear"},
            },
        },
    ),
}


def preset_entry(name: str, reader: str) -> dict[str, Any]:
    """Return what a preset lays over an entry (UsageError, exit 2, where it is unknown or of another reader)."""
    fitting = {key: each for key, each in PRESETS.items() if each.reader in (None, reader)}
    if name not in fitting:
        why = f"it is for reader {PRESETS[name].reader}" if name in PRESETS else nearest(name, fitting)
        raise UsageError(
            f"no preset '{name}' for reader {reader}: {why}",
            action="correct --preset; `foalnet add-corpus --help` lists them",
        )
    return fitting[name].entry
