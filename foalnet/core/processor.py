"""The processor's type and the instructions that torch may use; models are byte-identical only where both agree."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CPUINFO = Path("/proc/cpuinfo")
# By default ATen, oneDNN and MKL use the widest instructions of a processor, which changes the order of additions.
# Every x86-64 processor of the last ten years has AVX2. MKL applies the limit AVX2 on Intel's processors only;
# COMPATIBLE is its only code path that computes the same on processors of other makers.
LIMITS = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "COMPATIBLE"}
NEEDED = {"avx2", "fma"}


def hold_instructions(cpuinfo: Path = CPUINFO) -> None:
    """Limit torch to the instructions that every x86-64 processor with AVX2 has, in this process and its children.

    Call it before torch is imported: ATen ignores the limit afterwards, so the function then sets nothing. Variables
    that the environment already has stay. Nothing is set on processors without AVX2.
    """
    if "torch" not in sys.modules and set(_facts(cpuinfo).get("flags", "").split()) >= NEEDED:
        for name, value in LIMITS.items():
            os.environ.setdefault(name, value)


def instructions() -> str:
    """Return the limit in force for each library of torch, such as `ATen AVX2, oneDNN AVX2, MKL COMPATIBLE`."""
    import torch

    one_dnn = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "ALL"
    mkl = os.environ.get("MKL_CBWR") or "AUTO"
    return f"ATen {torch.backends.cpu.get_cpu_capability()}, oneDNN {one_dnn.upper()}, MKL {mkl.upper()}"


def processor(cpuinfo: Path = CPUINFO) -> str:
    """Return the processor's maker, family and model; its clock rate and core count do not affect results."""
    facts = _facts(cpuinfo)
    if "vendor_id" not in facts:
        return platform.machine()
    return f"{facts['vendor_id']} family {facts.get('cpu family', '?')} model {facts.get('model', '?')}"


def made_elsewhere(train: Mapping[str, Any], cpuinfo: Path = CPUINFO) -> str | None:
    """Return a note if a run was trained on another type of processor or with other instructions; else None.

    `train`: the content of the run's train.json. Results recomputed here may then differ in the last digits although
    no one changed them.
    """
    made, here = ((str(train.get("processor")), str(train.get("instructions"))), (processor(cpuinfo), instructions()))
    if made == here:
        return None
    return f"made on another kind of processor: {made[0]} ({made[1]}); this is {here[0]} ({here[1]})"


def _facts(cpuinfo: Path) -> dict[str, str]:
    """Return the fields of the first processor in Linux' cpuinfo; {} on other systems."""
    try:
        first = cpuinfo.read_text("utf-8", "replace").partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
