"""torchaudio loads with any build of torch, and only when it is needed."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import ModuleType

import pytest

from foalnet.core import shim
from foalnet.core.errors import MachineError


def test_torchaudio_resamples_after_the_shim() -> None:
    torchaudio = shim.load_torchaudio()
    import torch

    assert torchaudio.functional.resample(torch.zeros(441), 44100, 16000).shape == (160,)
    assert shim.load_torchaudio() is torchaudio


def test_what_needs_the_compiled_part_says_so() -> None:
    extension = shim._extension_stub()
    assert extension._IS_TORCHAUDIO_EXT_AVAILABLE is False and extension._check_cuda_version() is None

    def forced_align() -> None: ...

    with pytest.raises(RuntimeError, match="forced_align needs"):
        extension.fail_if_no_align(forced_align)()


def test_a_cuda_wheel_beside_a_cpu_torch_is_loaded_on_the_second_try(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[bool] = []

    def load(name: str) -> ModuleType:
        tries.append("torchaudio._extension" in sys.modules)
        if len(tries) == 1:
            monkeypatch.setitem(sys.modules, "torchaudio", ModuleType("half"))
            raise OSError("libcudart.so.13: cannot open shared object file")
        assert "torchaudio" not in sys.modules, "the half-imported package must be forgotten"
        return ModuleType("torchaudio")

    for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(importlib, "import_module", load)
    assert shim.load_torchaudio().__name__ == "torchaudio" and tries == [False, True]
    monkeypatch.delitem(sys.modules, "torchaudio._extension")


def test_one_thread_inside_the_block_and_as_before_after_it() -> None:
    import torch

    before = torch.get_num_threads()
    with pytest.raises(KeyError), shim.one_torch_thread():
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == before


def test_no_torchaudio_is_the_machines_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> ModuleType:
        raise ImportError("No module named 'torchaudio'")

    monkeypatch.setattr(importlib, "import_module", load)
    with pytest.raises(MachineError, match="No module named"):
        shim.load_torchaudio()


def test_media_and_faces_import_no_torch_and_no_decoder() -> None:
    heavy = ("av", "cv2", "face_alignment", "ffmpeg", "soundfile", "torch", "torchaudio")
    code = f"import sys, foalnet.media, foalnet.faces; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert out.stdout.strip() == "[]"
