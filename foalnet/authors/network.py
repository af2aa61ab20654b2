"""Reads the authors' checkpoints: their weights under our names, and their arithmetic for a batch.

Source: the released code (docs/method.md, the two versions). Shape letters: B utterances, N samples, F frames, D width
of the picture's features, C classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foalnet.config.blocks import Train
from foalnet.config.load import merge
from foalnet.config.versions import in_memory, version
from foalnet.core.errors import DataError
from foalnet.encoders import Pretrained
from foalnet.methods import FoalNet, build_net
from foalnet.nets.encoder import InputShape
from foalnet.nets.tensors import Inputs, Steps
from foalnet.nets.wavlm import RATE_HZ

# The released network's number of heads; it cannot be read from a tensor.
HEADS = 4
# Pattern of their name -> our name; the first pattern that matches the whole name applies.
NAMES: tuple[tuple[str, str], ...] = (
    (r"wavlm\.(.*)\.weight_g", r"audio.tuned.\1.parametrizations.weight.original0"),
    (r"wavlm\.(.*)\.weight_v", r"audio.tuned.\1.parametrizations.weight.original1"),
    (r"wavlm\.(.*)", r"audio.tuned.\1"),
    (r"(a2v|v2a)\.(\d+)\.w_q\.(weight|bias)", r"fusion.\1.layers.\2.query.\3"),
    (r"(a2v|v2a)\.(\d+)\.w_k\.(weight|bias)", r"fusion.\1.layers.\2.key.\3"),
    (r"(a2v|v2a)\.(\d+)\.w_v\.(weight|bias)", r"fusion.\1.layers.\2.value.\3"),
    (r"(a2v|v2a)\.(\d+)\.w_concat\.(weight|bias)", r"fusion.\1.layers.\2.out.\3"),
    (r"(a2v|v2a)\.(\d+)\.ln\.(weight|bias)", r"fusion.\1.layers.\2.norm.\3"),
    (r"(audio|video)_project\.(linear[12])\.weight", r"\1_projection.\2.weight"),
    (r"(audio|video)_project\.layer_norm\.(weight|bias)", r"\1_projection.norm.\2"),
    (r"a2v_head\.(weight|bias)", r"audio_match.\1"),
    (r"v2a_head\.(weight|bias)", r"video_match.\1"),
    (r"cls_head\.(weight|bias)", r"head.1.\1"),
    (r"temp", "temperature"),
)
# It is used only in training, and is absent if the config has no SpecAugment.
MASK_VECTOR = "audio.tuned.masked_spec_embed"
# Prefixes of every name that data-parallel and compiler wrappers add.
WRAPPERS = ("module.", "_orig_mod.")
# The number of names of a long list that an error shows.
SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Imported:
    """An authors' checkpoint under our names: the facts that build its network, and its tensors."""

    params: Train
    shape: InputShape
    pretrained: Pretrained
    classes: int
    tensors: dict[str, Tensor]
    file: Path | None = None

    def build(self) -> FoalNet:
        """Return the network with these weights, in evaluation mode; DataError (exit 3) if they do not fit."""
        with torch.random.fork_rng(devices=[]):
            # A tensor that the file lacks, and evaluation does not use, is the same in every run.
            torch.manual_seed(0)
            names = [str(place) for place in range(self.classes)]
            net = build_net("foal", self.params, classes=names, shape=self.shape, pretrained=self.pretrained)
        assert isinstance(net, FoalNet)
        tensors, own = dict(self.tensors), net.state_dict()
        if MASK_VECTOR not in own:
            tensors.pop(MASK_VECTOR, None)
        elif MASK_VECTOR not in tensors:
            tensors[MASK_VECTOR] = own[MASK_VECTOR]
        wrong = {
            "lacking": sorted(own.keys() - tensors.keys()),
            "too many": sorted(tensors.keys() - own.keys()),
            "of another shape": sorted(n for n in own.keys() & tensors.keys() if own[n].shape != tensors[n].shape),
        }
        if any(wrong.values()):
            said = "; ".join(f"{len(n)} {what} ({', '.join(n[:SHOWN])}…)" for what, n in wrong.items() if n)
            raise DataError(
                f"the checkpoint does not fit its architecture: {said}",
                file=self.file,
                action="give the config of the WavLM from which the checkpoint was trained",
            )
        net.load_state_dict(tensors)
        return net.eval()


def imported(state_dict: Mapping[str, Tensor], wavlm_config: Any, *, file: Path | None = None) -> Imported:
    """Return an authors' checkpoint under our names; sizes are read from its tensors.

    `wavlm_config`: a WavLMConfig or its dict. DataError (exit 3) names a tensor that is unknown or lacking.
    """
    config = dict(wavlm_config) if isinstance(wavlm_config, Mapping) else wavlm_config.to_dict()
    theirs = dict(state_dict)
    while theirs and (prefix := next((w for w in WRAPPERS if all(name.startswith(w) for name in theirs)), "")):
        theirs = {name.removeprefix(prefix): value for name, value in theirs.items()}
    tensors = {_our_name(name, file): value.detach().clone() for name, value in theirs.items()}
    try:
        project = theirs["audio_project.linear1.weight"].shape[0]
        dims = theirs["video_project.linear1.weight"].shape[1]
        classes = theirs["cls_head.weight"].shape[0]
    except KeyError as error:
        raise _foreign(f"it has no tensor {error.args[0]}", file) from error
    layers = 1 + max((int(name.split(".")[1]) for name in theirs if name.startswith("a2v.")), default=0)
    net = {
        "picture": "features",
        "frame_step": 1,
        "audio": {"encoder": "wavlm_large"},
        "video": {"encoder": "identity", "width": dims},
        "batch_size": 16,
        "methods": {
            "foal": {"layers": layers, "heads": HEADS, "dropout": 0.1, "project": project, "project_dropout": 0.5}
        },
    }
    return Imported(
        params=Train.model_validate(merge(net, in_memory(version(released=True)))).of("foal"),
        shape=InputShape(rate_hz=RATE_HZ, frame=(dims,)),
        pretrained=Pretrained(name="wavlm_large", sha256="", config=config, preprocessor={}),
        classes=classes,
        tensors=tensors,
        file=file,
    )


def from_authors(state_dict: Mapping[str, Tensor], wavlm_config: Any) -> FoalNet:
    """Return the network of an authors' checkpoint, in evaluation mode and in the released code's arithmetic.

    `state_dict`: tensors by the authors' names (NAMES); `wavlm_config`: a dict or a transformers.WavLMConfig of the
    encoder from which it was trained. DataError (exit 3) names a tensor that is unknown or lacking.
    """
    return imported(state_dict, wavlm_config).build()


def authors_outputs(
    model: FoalNet, wave_BN: Tensor, wave_mask_BN: Tensor, frames_BFD: Tensor, frame_mask_BF: Tensor, label_B: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (logits_BC, avel, mem) as the released code computes them in evaluation, the losses unweighted.

    `wave_BN`: samples at 16 kHz and raw amplitude, any N; `frames_BFD`: features, any F; masks are true (or 1) for
    valid samples and frames; all are moved to the model's device and type. Negatives for MEM come from torch's global
    generator, first a video for each audio, then an audio for each video. ValueError for an utterance of length 0,
    which the released masks would treat as all valid, and if N is less than one step; a row with sound shorter than a
    step next to longer ones is all valid, as in the library.
    """
    like = next(model.head.parameters())
    inputs = Inputs(
        raw={
            "audio": Steps(values_BTD=wave_BN.to(like), mask_BT=wave_mask_BN.to(like.device).bool()),
            "video": Steps(values_BTD=frames_BFD.to(like), mask_BT=frame_mask_BF.to(like.device).bool()),
        }
    )
    least = getattr(model.encoders["audio"], "least", 1)
    if wave_BN.shape[1] < least:
        raise ValueError(f"{wave_BN.shape[1]} samples are less than one step of the encoder, which needs {least}")
    for what, mask in (("sound", inputs.raw["audio"].mask_BT), ("picture", inputs.raw["video"].mask_BT)):
        if not bool(mask.any(dim=1).all()):
            empty = (~mask.any(dim=1)).nonzero().flatten().tolist()
            raise ValueError(f"rows {empty} have no {what} at all: the released code does not support length 0")
    model.eval()
    with torch.no_grad():
        outputs = model(inputs)
        losses = model.own_losses(outputs, label_B.to(like.device).long()).losses
    return outputs.logits_BC, losses["avel"], losses["mem"]


def _our_name(name: str, file: Path | None) -> str:
    for theirs, ours in NAMES:
        match = re.fullmatch(theirs, name)
        if match:
            return match.expand(ours)
    raise _foreign(f"its tensor {name} is none of the released network's", file)


def _foreign(what: str, file: Path | None) -> DataError:
    return DataError(
        f"this is not a checkpoint of the authors' code: {what}",
        file=file,
        action="give a state dict with the names that docs/method.md lists (their code saves it with torch.save)",
    )
