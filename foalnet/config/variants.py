"""The variants: which method a run trains, on which modalities, with which of its losses (docs/method.md)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from foalnet.config.base import Frozen

Weight = Annotated[float, Field(ge=0.0, le=1000.0)]
Picture = Literal["face", "half", "features"]
Modality = Literal["audio", "video", "text"]
# The variants on the half picture are named so.
HALF = "_half"


class Variant(Frozen):
    """One network of the comparison: a method, the modalities that it gets, and its losses that are changed."""

    method: str = Field(description="name in the method registry (docs/add-a-method.md)")
    inputs: Annotated[list[Modality], Field(min_length=1)] = Field(description="modalities that the network uses")
    losses: dict[str, Weight] = Field(
        default_factory=dict, description="loss of the method -> another weight; 0: the network is built without it"
    )
    picture: Picture | None = Field(None, description="what the video branch sees; null: train.picture")


def _standard() -> dict[str, Variant]:
    """Return the variants of the paper's Table 2, then those with pictures on the half picture."""
    both: list[Modality] = ["audio", "video"]
    variants = {
        "audio_only": Variant(method="single", inputs=["audio"]),
        "video_only": Variant(method="single", inputs=["video"]),
        "text_only": Variant(method="single", inputs=["text"]),
        "text_turns": Variant(method="bc_lstm", inputs=["text"]),
        "all_turns": Variant(method="bc_lstm", inputs=["audio", "video", "text"]),
        "baseline": Variant(method="foal", inputs=both, losses={"avel": 0.0, "mem": 0.0}),
        "avel": Variant(method="foal", inputs=both, losses={"mem": 0.0}),
        "mem": Variant(method="foal", inputs=both, losses={"avel": 0.0}),
        "foal": Variant(method="foal", inputs=both),
    }
    half = {
        f"{name}{HALF}": one.model_copy(update={"picture": "half"})
        for name, one in variants.items()
        if "video" in one.inputs
    }
    return variants | half


def _rivals() -> dict[str, Variant]:
    """Return the other fusions of the comparison (docs/methods.md): of sound and picture, then with text."""
    both: list[Modality] = ["audio", "video"]
    spoken: list[Modality] = ["audio", "text"]
    every: list[Modality] = [*both, "text"]
    of_both = (
        "concat",
        "gmu",
        "fbp",
        "jmt",
        "m2fnet_clip",
        "ecmf_style",
        "aimdit_style",
        "mpt_style",
        "hfg_style",
        "text_prompts",
    )
    of_every = ("concat", "gmu", "ecmf_style", "aimdit_style", "mpt_style", "hfg_style")
    return {
        **{name: Variant(method=name, inputs=both) for name in of_both},
        "jmt_va": Variant(method="jmt", inputs=both, losses={"ccc": 1.0}),
        "hfg_style_va": Variant(method="hfg_style", inputs=both, losses={"ccc": 1.0}),
        "gban_av": Variant(method="gban", inputs=both),
        "gban": Variant(method="gban", inputs=spoken),
        **{f"{name}_text": Variant(method=name, inputs=every) for name in of_every},
        "lmam": Variant(method="lmam", inputs=every),
        "lmam_text": Variant(method="lmam", inputs=["text"]),
        "m2fnet": Variant(method="m2fnet", inputs=every),
    }


# The variants of a params file without a block `variants`.
VARIANTS: dict[str, Variant] = _standard() | _rivals()
MAIN_VARIANTS: tuple[str, ...] = ("audio_only", "video_only", "baseline", "foal")
