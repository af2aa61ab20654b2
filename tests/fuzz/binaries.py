"""Hostile videos, checkpoints and shards, and the invariants of accepted ones."""

from __future__ import annotations

import copy
import json
import math
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.mutate import bytes_like, either, json_like, mapped

BOXES = (
    b"avih", b"strh", b"strf", b"idx1", b"movi", b"LIST", b"00dc", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00",
    b"\xff\xff\xff\x7f", b"moov", b"stts", b"ctts", b"elst", b"mvhd", b"\x00\x00\x01\xb3",
)  # fmt: skip


def avi_input() -> st.SearchStrategy[bytes]:
    """Draw a small AVI, MP4 or MPEG with corrupted bytes, mostly in its headers."""
    from tests.support.corpus.videos import numbered_video

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        files = [
            numbered_video(folder / "a.avi", 6),
            numbered_video(folder / "b.avi", 6, "-bf", "2", rate="25"),
            numbered_video(folder / "a.mp4", 6, "-bf", "2"),
            numbered_video(folder / "a.mpg", 6, "-c:v", "mpeg1video", rate="25"),
        ]
        whole = [file.read_bytes() for file in files]
    heads = [(data[:5000], data[5000:]) for data in whole]
    spoiled = [bytes_like([head], BOXES).map(partial(_before, rest)) for head, rest in heads]
    return either(*spoiled, bytes_like(whole, BOXES))


def _before(rest: bytes, head: bytes) -> bytes:
    return head + rest


def check_avi(data: bytes, folder: Path) -> None:
    """A video that is accepted has a size within the limits and stamps that rise."""
    from foalnet.media import probe_times
    from foalnet.media.container import MAX_DURATION_S, MAX_SIDE_PX, header_rates_fps

    path = folder / "x.avi"
    path.write_bytes(data)
    info = probe_times(path)
    assert 16 <= info.width_px <= MAX_SIDE_PX and 16 <= info.height_px <= MAX_SIDE_PX
    assert math.isfinite(info.rate_fps) and info.rate_fps >= 0
    assert info.times_s and list(info.times_s) == sorted(info.times_s)
    assert info.times_s[-1] - info.times_s[0] <= MAX_DURATION_S
    rates = header_rates_fps(path)
    assert rates is None or all(math.isfinite(rate) and rate > 0 for rate in rates)


def checkpoint_input() -> st.SearchStrategy[bytes]:
    """Draw a checkpoint: spoiled, with other facts in its head, or sealed with odd facts."""
    import torch

    from foalnet.artifact.checkpoint import to_bytes

    tensors = {"a/weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3), "c": torch.zeros(0)}
    facts = {"rows": [{"epoch": 1, "loss": 0.5}], "best": 0, "finished": False}
    whole = to_bytes(tensors, facts)
    length = int.from_bytes(whole[:8], "little")
    head, body = json.loads(whole[8 : 8 + length]), whole[8 + length :]
    head["__metadata__"] = {"foalnet": json.loads(head["__metadata__"]["foalnet"])}

    def put(value: Any) -> bytes:
        head = dict(value)
        if isinstance(head.get("__metadata__"), dict):
            head["__metadata__"] = {name: json.dumps(said) for name, said in head["__metadata__"].items()}
        text = json.dumps(head).encode()
        return len(text).to_bytes(8, "little") + text + body

    odd = ("F8_E4M3", "I64", "BF16", "C64", "U8", [0, 24], [0, 2**62], [2, 3], [6], [-1], [2**40])
    tokens = (b'"F64"', b'"C64"', b"[0,0]", b"data_offsets", b"__metadata__")
    sealed = mapped(json_like([facts]), lambda drawn: to_bytes(tensors, drawn))
    # What no writer of ours can seal, since it is no JSON.
    other = copy.deepcopy(head)
    other["__metadata__"]["foalnet"]["facts"]["rows"][0]["loss"] = math.nan
    return either(bytes_like([whole], tokens), mapped(json_like([head, other], odd), put), sealed)


def check_checkpoint(data: bytes, folder: Path) -> None:
    """A checkpoint that is accepted is sealed: written again it has the same tensors and facts."""
    from foalnet.artifact.checkpoint import load_checkpoint, to_bytes

    path = folder / "x.safetensors"
    path.write_bytes(data)
    tensors, facts = load_checkpoint(path)
    path.write_bytes(to_bytes(tensors, facts))
    again, read = load_checkpoint(path)
    assert read == facts and again.keys() == tensors.keys()
    assert all(again[name].equal(tensors[name]) for name in tensors)


def tar_input() -> st.SearchStrategy[bytes]:
    """Draw a small shard with its bytes spoiled."""
    from foalnet.shards import Sample, write_shard

    members = {"json": b"{}", "flac": b"f" * 40, "face.mjpg": b"", "half.mjpg": b"h" * 600}
    with tempfile.TemporaryDirectory() as made:
        path = Path(made, "000000.tar")
        write_shard(path, [Sample(key=key, shard="", members=members) for key in ("a", "b")], session="S", group="d")
        whole = path.read_bytes()
    return either(bytes_like([whole], (b"\x00" * 512, b"a.json", b"ustar", b"0000644\x00")), bytes_like([whole[:4096]]))


def check_tar(data: bytes, folder: Path) -> None:
    """A tar that is walked to its end is made of whole members, one after the other."""
    from foalnet.shards.walk import ranges

    path = folder / "x.tar"
    path.write_bytes(data)
    position = 0
    for key, extensions, start, end in ranges(path):
        assert key and all(extensions) and start == position < end <= len(data)
        position = end
    assert len(data) - position >= 1024 and not any(data[position:]), "and then its end mark alone"
