"""The methods by name, one line each; a method has the name of its file, the only one that its trainings depend on."""

from __future__ import annotations

from foalnet.methods.aimdit_style import AimditStyle
from foalnet.methods.base import Method
from foalnet.methods.bc_lstm import BcLstm
from foalnet.methods.ecmf_style import EcmfStyle
from foalnet.methods.foal import FoalNet
from foalnet.methods.hfg_style import HfgStyle
from foalnet.methods.mpt_style import MptStyle
from foalnet.methods.single import Single

METHODS: dict[str, type[Method]] = {
    "aimdit_style": AimditStyle,
    "bc_lstm": BcLstm,
    "ecmf_style": EcmfStyle,
    "foal": FoalNet,
    "hfg_style": HfgStyle,
    "mpt_style": MptStyle,
    "single": Single,
}
