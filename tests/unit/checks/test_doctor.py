"""The doctor: every check by itself, a remedy for every failure, no use of the network without --remote."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from foalnet.artifact.seal import publish_sealed
from foalnet.checks import doctor
from foalnet.checks.doctor import Context, Finding, context_of, corpora, packages, project, storage, tools
from foalnet.checks.doctor.base import from_error, run_check
from foalnet.config.load import merge
from foalnet.core.errors import MachineError, UsageError
from foalnet.core.files import publish_bytes
from foalnet.core.locks import lock
from foalnet.core.redact import redact
from tests.support.corpus.trees import ravdess_tree
from tests.support.projects import REPOSITORY, verb


@pytest.fixture
def folder(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder without git, and the current one."""
    here = tmp_path / "project"
    here.mkdir()
    for name in ("params.yaml", "dvc.yaml", "constraints.txt"):
        shutil.copy(repository / name, here)
    shutil.copytree(repository / ".dvc", here / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache", "config.local"))
    monkeypatch.chdir(here)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    return here


def of(check: doctor.base.Check, context: Context) -> list[Finding]:
    return list(run_check("x", check, context))


def levels(findings: list[Finding]) -> list[str]:
    return [finding.level for finding in findings]


def with_corpus(folder: Path, **entry: object) -> Context:
    """Params with a second corpus besides the drawn one; its root is a ravdess tree."""
    path = folder / "params.yaml"
    data = yaml.safe_load(path.read_text())
    new = merge(data["corpora"]["drawn"], {"reader": "ravdess", "source": "data/r.json"} | entry)
    path.write_text(yaml.safe_dump(merge(data, {"corpora": {"r": new}})))
    return context_of("r", remote=False)


def test_the_whole_verb_finds_this_machine_usable(folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "dvc", "config", "--local", "core.no_scm", "true"], check=True)
    done = verb(folder, "doctor", "--json", PYTHONPATH=str(REPOSITORY))
    shown = json.loads(done.stdout)
    assert shown["usable"] is True
    findings = shown["findings"]
    assert list(dict.fromkeys(row["check"] for row in findings)) == list(doctor.CHECKS)
    assert all(row["mend"] for row in findings if row["level"] != "ok")
    assert not (folder / "work").exists()


def test_a_fault_ends_with_4_and_its_line_with_the_remedy(folder: Path) -> None:
    done = verb(folder, "doctor", check=False, PYTHONPATH=str(REPOSITORY))
    assert done.returncode == 4 and "Traceback" not in done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("fault"))
    assert line.endswith("mend: dvc config --local core.no_scm true")
    assert done.stdout.splitlines()[-1].startswith("not usable: ")


def test_an_unknown_corpus_ends_with_2(folder: Path) -> None:
    done = verb(folder, "doctor", "drown", check=False, PYTHONPATH=str(REPOSITORY))
    assert done.returncode == 2 and "did you mean 'drawn'" in done.stderr


def test_a_check_that_crashes_is_a_fault_and_the_others_go_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Context) -> Iterator[Finding]:
        yield doctor.base.ok("first")
        raise ImportError("half a\npackage")

    monkeypatch.setattr(doctor, "CHECKS", {"one": broken, "two": packages.python})
    findings = list(doctor.examine(Context()))
    assert [(f.check, f.level) for f in findings][:2] == [("one", "ok"), ("one", "fault")]
    assert findings[1].message == "the check itself failed: ImportError: half a package" and findings[1].mend
    assert findings[2].check == "two"
    assert not doctor.usable(findings) and doctor.usable([findings[0]])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("params.yaml", "a: [", "cannot be read"),
        ("settings.yaml", "worker: 3", "worker"),
        ("params.yaml", None, "params"),
    ],
)
def test_a_project_that_cannot_be_read_is_a_fault_not_an_end(
    folder: Path, name: str, content: str | None, message: str
) -> None:
    (folder / name).unlink(missing_ok=True)
    if content is not None:
        (folder / name).write_text(content)
    findings = of(project.project, context_of(None, remote=False))
    assert findings[0].level == "fault" and message in findings[0].message and findings[0].mend


def test_git_or_a_setting_that_dvc_works_without(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "dvc_config", dict)
    assert levels(of(project.git, Context())) == ["fault"]
    monkeypatch.setattr(project, "dvc_config", lambda: {"core.no_scm": "true"})
    assert levels(of(project.git, Context())) == ["ok"]
    (folder / ".git").mkdir()
    assert "git version" in of(project.git, Context())[0].message
    monkeypatch.setenv("PATH", "")
    assert levels(of(project.git, Context())) == ["warning"]


def test_dvc_cache_remotes_and_site_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Path(os.environ["DVC_SITE_CACHE_DIR"])
    site.mkdir(mode=0o700)
    quiet = {"core.analytics": "false", "core.check_update": "false"}
    given = dict(quiet)
    monkeypatch.setattr(project, "dvc_config", lambda: given)
    assert levels(of(project.dvc, Context())) == ["ok", "ok", "ok"]
    site.chmod(0o777)
    assert "unpickles" in of(project.dvc, Context())[1].message
    site.chmod(0o700)
    given |= {"remote.a.b.url": str(folder / "gone"), "core.remote": "a.b"}
    last = of(project.dvc, Context())[-1]
    assert last.level == "warning" and "a.b" in last.message and last.mend.startswith("mkdir")
    (folder / "gone").mkdir()
    assert levels(of(project.dvc, Context()))[-1] == "ok"
    del given["core.remote"], given["core.analytics"]
    findings = of(project.dvc, Context())
    assert any("default" in f.message for f in findings if f.level == "warning")
    monkeypatch.delenv("DVC_NO_ANALYTICS", raising=False)
    assert any(f.mend == "dvc config core.analytics false" for f in of(project.dvc, Context()))


def test_a_site_cache_that_others_could_make_first_is_not_private(tmp_path: Path) -> None:
    assert project.private(tmp_path)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    assert not project.private(shared / "dvc")
    (shared / "dvc").mkdir(mode=0o700)
    assert project.private(shared / "dvc")


def test_the_network_is_used_only_with_remote(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    commands: list[tuple[str, ...]] = []

    def answer(*command: str, timeout_s: float = 0.0) -> str:
        commands.append(command)
        if "status" in command:
            raise RuntimeError("no route")
        return "core.remote=far\nremote.far.url=https://me:word@far.example.org/x?key=1\n"

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(project, "output_of", answer)
    findings = of(project.dvc, Context())
    assert "not contacted" in findings[-1].message and not any("status" in command for command in commands)
    findings = of(project.dvc, Context(remote=True))
    assert findings[-1].level == "warning" and "no route" in findings[-1].message
    assert commands[-1][-4:] == ("status", "--cloud", "--remote", "far")
    assert "word" not in str(findings) and "key=1" not in str(findings)


def test_prefect_analytics_by_environment_and_profile(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DO_NOT_TRACK", "PREFECT_SERVER_ANALYTICS_ENABLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(folder / "prefect"))
    assert levels(of(project.prefect, Context())) == ["warning"]
    text = 'active = "a"\n[profiles.a]\nPREFECT_SERVER_ANALYTICS_ENABLED = "false"\n'
    publish_bytes(folder / "prefect" / "profiles.toml", text.encode())
    assert levels(of(project.prefect, Context())) == ["ok"]
    monkeypatch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "true")
    assert levels(of(project.prefect, Context())) == ["warning"]
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    assert levels(of(project.prefect, Context())) == ["ok"]


def test_packages_against_bounds_and_pins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(levels(of(packages.packages, Context()))) == {"ok"}
    path = folder / "constraints.txt"
    path.write_text(path.read_text().replace("numpy==", "numpy==9.") + "nosuchpackage==1\n")
    findings = of(packages.packages, Context())
    assert levels(findings) == ["ok", "warning"] and "numpy" in findings[1].message and "bytes" in findings[1].message
    real = packages.installed
    monkeypatch.setattr(packages, "installed", lambda name: {"av": None, "fastapi": "0.165.0"}.get(name, real(name)))
    findings = of(packages.packages, Context())
    assert {f.message.split()[0] for f in findings if f.level == "fault"} == {"av", "fastapi"}
    path.unlink()
    assert "constraints" in of(packages.packages, Context())[-1].message


def test_a_decoder_that_lacks_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert levels(of(tools.ffmpeg, Context())) == ["ok"]
    real = tools.output_of
    monkeypatch.setattr(tools, "output_of", lambda *command: real(*command).replace(" msmpeg4 ", " other "))
    findings = of(tools.ffmpeg, Context())
    assert levels(findings) == ["fault"] and findings[0].message.endswith("msmpeg4")
    monkeypatch.setattr("foalnet.media.ffmpeg_exe", lambda: str(folder / "no-ffmpeg"))
    assert levels(of(tools.ffmpeg, Context())) == ["fault"]


def test_shards_staged_with_another_ffmpeg_are_reported(folder: Path) -> None:
    staging = {"tools": {"ffmpeg": "0" * 64}}
    publish_sealed(folder / "reports" / "drawn" / "staging.json", staging)
    findings = of(tools.ffmpeg, context_of("drawn", remote=False))
    assert levels(findings) == ["ok", "warning"] and "drawn" in findings[1].message


def test_a_device_that_lacks_is_a_fault(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOALNET_DEVICE", "cuda:99")
    findings = of(packages.device, context_of(None, remote=False))
    assert levels(findings) == ["fault"] and "FOALNET_DEVICE=cpu" in findings[0].mend


def test_a_gpu_is_named_with_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    facts = SimpleNamespace(name="A GPU", total_memory=80e9)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: facts)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (79e9, 80e9))
    assert [f.message for f in of(packages.device, Context())] == ["A GPU, 80 GB, 79 GB of it free"]


def test_disk_against_the_need(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = context_of("drawn", remote=False)
    assert "known after `foalnet inventory drawn`" in of(storage.disk, context)[0].message
    seconds = 960.0
    monkeypatch.setattr(storage, "speech_seconds", lambda *_: seconds)
    need = storage.COPIES * storage.BYTES_PER_S * seconds
    for free, level in ((need, "ok"), (need * 0.8, "warning"), (need * 0.5, "fault")):
        monkeypatch.setattr(storage, "free_bytes", lambda _, free=free: round(free))
        assert levels(of(storage.disk, context)) == [level]
    publish_bytes(folder / "data" / "drawn" / "shards" / "index.json", b"{}")
    assert levels(of(storage.disk, context)) == ["ok"]


def test_a_folder_that_cannot_be_written_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = folder / "data" / "drawn"
    shards.mkdir(parents=True, exist_ok=True)
    assert levels(of(storage.work, Context())) == ["ok", "ok"]
    real, closed = storage.tempfile.TemporaryFile, [Path("data/drawn")]

    def full(**given: Path) -> object:
        if given["dir"] in closed:
            raise OSError(30, "Read-only file system")
        return real(**given)

    monkeypatch.setattr(storage.tempfile, "TemporaryFile", full)
    findings = of(storage.work, Context())
    assert levels(findings) == ["ok", "fault"] and "data/drawn" in findings[1].mend
    closed.append(folder.resolve())  # the work folder is not there yet: the one above it counts
    findings = of(storage.work, Context())
    assert "fault" in levels(findings) and "FOALNET_WORK" in findings[0].mend


def test_locks_held_free_and_what_the_dead_left(folder: Path) -> None:
    work = folder / "work"
    with lock(work / "locks" / "shards-drawn"):
        findings = of(storage.locks, Context(settings=replace_work(work)))
        assert f"pid {os.getpid()}" in findings[0].message
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    pid = int(gone.stdout)
    publish_bytes(work / "clips" / "a" / f".shard.tar.{pid}.part", b"half")
    publish_bytes(work / "clips" / "a" / f".entry.json.{os.getpid()}.part", b"mine")
    rwlock = {"write": {"/a": {"pid": pid, "cmd": "x"}}, "read": {"/b": [{"pid": os.getpid(), "cmd": "y"}]}}
    publish_bytes(folder / ".dvc" / "tmp" / "rwlock", json.dumps(rwlock).encode())
    findings = of(storage.locks, Context(settings=replace_work(work)))
    assert levels(findings) == ["ok", "warning", "ok", "ok"]
    assert findings[0].message.startswith("no stage is running") and findings[1].message.startswith("1 unfinished")
    assert findings[1].mend == "foalnet gc"
    assert str(os.getpid()) in findings[2].message and "1 dead" in findings[3].message


def replace_work(work: Path) -> doctor.base.Settings:
    return doctor.base.Settings(work=work)


def test_roots_and_layout_of_each_corpus(folder: Path) -> None:
    context = with_corpus(folder)
    assert levels(of(corpora.corpora, context)) == ["fault"]
    publish_bytes(folder / "data" / "r" / "inventory.json", b"{}")
    assert levels(of(corpora.corpora, context)) == ["warning"]
    tree = ravdess_tree(folder / "tree")
    good = replace(context, settings=doctor.base.Settings(roots={"r": str(tree)}))
    assert levels(of(corpora.corpora, good)) == ["ok"] and levels(of(corpora.roots, good)) == []
    (folder / "empty").mkdir()
    wrong = replace(
        context, settings=doctor.base.Settings(roots={"r": str(folder / "empty"), "s": "/nowhere", "t": "t"})
    )
    findings = of(corpora.corpora, wrong)
    assert levels(findings) == ["fault"] and "looked" in findings[0].message and findings[0].mend
    assert levels(of(corpora.roots, wrong)) == ["warning", "warning"]


def test_weights_of_the_detector_that_params_choose(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(folder / "none"))
    findings = of(corpora.weights, with_corpus(folder, shards={"detector": "blazeface"}))
    assert levels(findings) == ["fault"] and "blazeface.pth" in findings[0].message and findings[0].mend
    assert levels(of(corpora.weights, context_of("drawn", remote=False))) == ["ok"]


def test_encoders_that_params_choose(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foalnet.encoders.library_version", lambda: "5")
    wanted = with_corpus(folder, train={"audio": {"encoder": "wavlm_base"}}, features={"encoder": "clip_vit_b32"})
    findings = of(corpora.encoders, replace(wanted, settings=doctor.base.Settings(weights=folder / "none")))
    assert levels(findings) == ["fault", "fault"]
    assert "wavlm_base" in findings[0].message and "foalnet weights fetch wavlm_base" in findings[0].mend
    assert "foalnet weights fetch clip_vit_b32" in findings[1].mend
    assert levels(of(corpora.encoders, context_of("drawn", remote=False))) == ["ok"]


def test_what_is_shown_can_be_shown_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert redact("at /home/somebody/x (/home/somebody)") == "at ~/x (~)"
    assert redact("/home/somebodyelse") == "/home/somebodyelse"
    assert redact("s3://key:word@host/b https://h/p?sig=1 x") == "s3://…@host/b https://h/p?… x"
    finding = from_error(MachineError("what", file="/home/somebody/f", action="do\nit"))
    assert (finding.level, finding.mend) == ("fault", "do it")
    with pytest.raises(UsageError):
        doctor.context_of("nosuch", remote=False)
