"""Lists the searched params without effect on a variant; they are still drawn, and the summary names them."""

from __future__ import annotations

from collections.abc import Iterable

from foalnet.config.blocks import Train
from foalnet.config.space import METHODS
from foalnet.config.variants import Modality
from foalnet.methods import method_of, weights_of
from foalnet.methods.params import fields, mark
from foalnet.nets import ENCODERS, PRETRAINED

# Param below `train`, or its prefix -> the modality without which it has no effect.
NEEDS: dict[str, Modality] = {
    **{f"{modality}.": modality for modality in ENCODERS},
    "picture": "video",
    "frame_step": "video",
}


def without_effect(variant: str, paths: Iterable[str], train: Train) -> list[str]:
    """Return the params without effect on what a variant learns, sorted.

    >>> without_effect("audio_only", ["lr", "methods.foal.beta", "video.width"], Train())
    ['methods.foal.beta', 'video.width']
    """
    one, marks = train.variant(variant), dict(fields())
    on, weighs = weights_of(variant, train), method_of(variant, train).losses
    # The weights that the variant's definition gives in place of the method's params.
    fixed = {weighs[loss] for loss in one.losses}

    def affected(path: str) -> bool:
        if path.startswith(METHODS):
            _, method, param = path.split(".")
            losses = mark(marks[path], "losses")
            return method == one.method and param not in fixed and (not losses or not on.keys().isdisjoint(losses))
        if path == "picture" and one.picture:
            return False
        if path == "lr_encoder":
            return "audio" in one.inputs and train.audio.encoder in PRETRAINED["audio"]
        return all(modality in one.inputs for start, modality in NEEDS.items() if path.startswith(start))

    return sorted(path for path in paths if not affected(path))
