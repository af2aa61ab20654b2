"""The kind of processor, and which of its instructions the arithmetic may use: what equal bytes of a model hold for."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CPUINFO = Path("/proc/cpuinfo")
# ATen, oneDNN and MKL take the widest instructions of a processor, and sums then round in another order. AVX2 is what
# every x86-64 processor of the last ten years has. MKL takes AVX2 for a limit on Intel's processors alone: COMPATIBLE
# is its one path that is the same on those of other makers.
HELD = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "COMPATIBLE"}
NEEDED = {"avx2", "fma"}


def hold_instructions(cpuinfo: Path = CPUINFO) -> None:
    """Limit torch's arithmetic to instructions that every x86-64 processor with AVX2 has, in child processes too.

    Call it before torch is imported: later it has no effect on ATen, so nothing is set then. What the environment says
    already stays. Other processors have no common limit: nothing is set there.
    """
    if "torch" not in sys.modules and set(_facts(cpuinfo).get("flags", "").split()) >= NEEDED:
        for name, value in HELD.items():
            os.environ.setdefault(name, value)


def instructions() -> str:
    """Return the limit in force for each library of torch (imported here): `ATen AVX2, oneDNN AVX2, MKL COMPATIBLE`."""
    import torch

    one_dnn = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "ALL"
    mkl = os.environ.get("MKL_CBWR") or "AUTO"
    return f"ATen {torch.backends.cpu.get_cpu_capability()}, oneDNN {one_dnn.upper()}, MKL {mkl.upper()}"


def processor(cpuinfo: Path = CPUINFO) -> str:
    """Return the kind of processor: maker, family and model; no speed and no count, which shape no byte."""
    facts = _facts(cpuinfo)
    if "vendor_id" not in facts:
        return platform.machine()
    return f"{facts['vendor_id']} family {facts.get('cpu family', '?')} model {facts.get('model', '?')}"


def made_elsewhere(train: Mapping[str, Any], cpuinfo: Path = CPUINFO) -> str | None:
    """Say that a run was trained on another kind of processor or with other instructions; None where it was not.

    `train` is its train.json. Bytes made again here may then differ in the last digits, and no one changed them.
    """
    made, here = ((str(train.get("processor")), str(train.get("instructions"))), (processor(cpuinfo), instructions()))
    if made == here:
        return None
    return f"made on another kind of processor: {made[0]} ({made[1]}); this is {here[0]} ({here[1]})"


def _facts(cpuinfo: Path) -> dict[str, str]:
    """Return what Linux says of the first processor; {} elsewhere."""
    try:
        first = cpuinfo.read_text("utf-8", "replace").partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
