"""The same weights on every x86-64 processor with AVX2: torch is limited to what all of them have, and says so."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from foalnet.core import processor
from tests.structure import PACKAGE

CPUINFO = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 1
flags\t\t: fpu sse2 avx avx2 fma

processor\t: 1
vendor_id\t: other
"""
HAS_AVX2 = "avx2" in Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else False
# What MKL computes by approximations of its own: another last digit on processors of another maker.
APPROXIMATED = {"sqrt", "sqrt_", "pow", "_foreach_sqrt"}


@pytest.fixture
def cpuinfo(tmp_path: Path) -> Path:
    file = tmp_path / "cpuinfo"
    file.write_text(CPUINFO)
    return file


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without limits, in a process that has not imported torch."""
    for name in processor.LIMITS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, "torch", raising=False)


@pytest.mark.usefixtures("free")
def test_a_processor_with_avx2_is_limited_to_it_and_what_the_user_set_stays(
    cpuinfo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    processor.hold_instructions(cpuinfo)
    assert {name: os.environ[name] for name in processor.LIMITS} == processor.LIMITS | {"MKL_CBWR": "AVX2"}
    for name in processor.LIMITS:
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("free")
@pytest.mark.parametrize("flags", ["fpu sse2 avx", None])
def test_a_processor_without_avx2_is_left_alone(flags: str | None, cpuinfo: Path) -> None:
    """ATen would take the limit for a promise, and end with an illegal instruction."""
    if flags is None:
        cpuinfo.unlink()
    else:
        cpuinfo.write_text(CPUINFO.replace("fpu sse2 avx avx2 fma", flags))
    processor.hold_instructions(cpuinfo)
    assert not processor.LIMITS.keys() & os.environ.keys()


@pytest.mark.skipif(not HAS_AVX2, reason="needs an x86-64 processor with AVX2")
def test_the_command_line_sets_the_limit_before_torch_is_imported_and_the_limit_is_in_force() -> None:
    code = (
        "import sys; from foalnet.cli.main import cli, main; from foalnet.core.processor import instructions\n"
        "cli.main = lambda **_: print('torch' in sys.modules) or print(instructions())\n"
        "main()"
    )
    env = {name: value for name, value in os.environ.items() if name not in processor.LIMITS}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["False", "ATen AVX2, oneDNN AVX2, MKL COMPATIBLE"], done.stderr


def test_the_kind_of_processor_is_maker_family_and_model(cpuinfo: Path) -> None:
    assert processor.processor(cpuinfo) == "AuthenticAMD family 25 model 1"
    cpuinfo.unlink()
    assert processor.processor(cpuinfo), "elsewhere what Python says"


def test_a_run_of_another_processor_or_other_instructions_is_said_to_be_of_another_one(cpuinfo: Path) -> None:
    here = {"processor": "AuthenticAMD family 25 model 1", "instructions": processor.instructions()}
    assert processor.made_elsewhere(here, cpuinfo) is None
    for other in ({"processor": "GenuineIntel family 6 model 106"}, {"instructions": "ATen AVX512"}):
        text = processor.made_elsewhere(here | other, cpuinfo) or ""
        assert text.startswith("made on another kind of processor: ")
        assert all(value in text for value in ((here | other).values())) and here["processor"] in text


def _calls(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in APPROXIMATED:
            owner = node.func.value
            if not (isinstance(owner, ast.Name) and owner.id in ("math", "np")):
                yield f"{path.relative_to(PACKAGE)}:{node.lineno} {node.func.attr}"
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            power = node.right
            if isinstance(power, ast.Constant) and isinstance(power.value, float):
                yield f"{path.relative_to(PACKAGE)}:{node.lineno} ** {power.value}"


def test_no_network_or_loss_takes_a_root_through_mkl() -> None:
    """Neither COMPATIBLE nor any other limit makes MKL's root equal; rsqrt is torch's own, and correctly rounded."""
    rooms = ("nets", "methods", "train", "stages", "predict")
    assert [call for room in rooms for path in sorted((PACKAGE / room).rglob("*.py")) for call in _calls(path)] == []
