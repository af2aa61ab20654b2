"""The methods by name, one line each; a method has the name of its file, the only one that its trainings depend on."""

from __future__ import annotations

from foalnet.methods.aimdit_style import AimditStyle
from foalnet.methods.base import Method
from foalnet.methods.bc_lstm import BcLstm
from foalnet.methods.concat import Concat
from foalnet.methods.ecmf_style import EcmfStyle
from foalnet.methods.fbp import Fbp
from foalnet.methods.foal import FoalNet
from foalnet.methods.gban import Gban
from foalnet.methods.gmu import Gmu
from foalnet.methods.hfg_style import HfgStyle
from foalnet.methods.jmt import Jmt
from foalnet.methods.lmam import Lmam
from foalnet.methods.m2fnet import M2FNet
from foalnet.methods.m2fnet_clip import M2FNetClip
from foalnet.methods.mpt_style import MptStyle
from foalnet.methods.single import Single
from foalnet.methods.text_prompts import TextPrompts

METHODS: dict[str, type[Method]] = {
    "aimdit_style": AimditStyle,
    "bc_lstm": BcLstm,
    "concat": Concat,
    "ecmf_style": EcmfStyle,
    "fbp": Fbp,
    "foal": FoalNet,
    "gban": Gban,
    "gmu": Gmu,
    "hfg_style": HfgStyle,
    "jmt": Jmt,
    "lmam": Lmam,
    "m2fnet": M2FNet,
    "m2fnet_clip": M2FNetClip,
    "mpt_style": MptStyle,
    "single": Single,
    "text_prompts": TextPrompts,
}
