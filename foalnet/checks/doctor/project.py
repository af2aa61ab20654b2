"""Checks the project's own files and tools: params, settings, git, DVC, champions and Prefect's analytics."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import stat
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from foalnet.checks.cache import loss_of, remedy
from foalnet.checks.doctor.base import Context, Finding, fault, ok, output_of, warning
from foalnet.core.errors import reason
from foalnet.evidence.champion import corpora_of, history, remote_champions, unpushed

OFF = {"0", "false", "no", "off", "f", "n"}
ON = {"1", "true", "yes", "on", "t", "y"}
REMOTE_TIMEOUT_S = 60.0


def project(context: Context) -> Iterator[Finding]:
    """Check that params.yaml, settings.yaml and dvc.yaml exist and are valid."""
    yield from context.wrong
    missing = [name for name in ("dvc.yaml", "params.yaml") if not (context.home / name).is_file()]
    if missing:
        yield fault(f"no project in this folder: {', '.join(missing)} missing", mend="cd to the project's folder")
    elif not context.wrong:
        names = ", ".join(params.corpus for params in context.corpora)
        settings = "settings.yaml" if (context.home / "settings.yaml").is_file() else "no settings.yaml, defaults hold"
        yield ok(f"params.yaml is valid; corpora: {names}; {settings}")


def git(context: Context) -> Iterator[Finding]:
    """Check for git and a repository, or that DVC is configured for a source archive."""
    program, inside = shutil.which("git"), (context.home / ".git").exists()
    if inside and program:
        yield ok(output_of(program, "--version").strip())
    elif inside:
        yield warning("no git program on PATH: reports will say 'no commit'", mend="apt-get install git")
    elif dvc_config().get("core.no_scm", "").lower() in ON:
        yield ok("no .git here, and DVC is configured for it (core.no_scm); reports say 'no commit'")
    else:
        yield fault("no .git here, and DVC refuses to run without it", mend="dvc config --local core.no_scm true")


def dvc_config() -> dict[str, str]:
    """Return DVC's resolved configuration as "section.key" -> value (RuntimeError where DVC cannot say)."""
    lines = output_of(sys.executable, "-m", "dvc", "config", "--list").splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines) if key}


def dvc(context: Context) -> Iterator[Finding]:
    """Check that DVC is initialised, sends no analytics, and has a writable cache, remotes and a private site cache."""
    version = importlib.metadata.version("dvc")
    if not (context.home / ".dvc").is_dir():
        yield fault(f"DVC {version}, but no .dvc folder here", mend="git checkout -- .dvc (or: dvc init)")
        return
    config = dvc_config()
    if config.get("core.analytics", "true").lower() in ON and "DVC_NO_ANALYTICS" not in os.environ:
        yield warning("DVC's analytics are on", mend="dvc config core.analytics false")
    if config.get("core.check_update", "true").lower() in ON:
        yield warning("DVC looks for updates on the network", mend="dvc config core.check_update false")
    cache = Path(config.get("cache.dir", context.home / ".dvc" / "cache"))
    place = next(folder for folder in (cache, *cache.absolute().parents) if folder.exists())
    if not os.access(place, os.W_OK):
        yield fault(f"DVC's cache {cache} cannot be written", mend=f"chmod u+w {place}")
    else:
        yield ok(f"DVC {version}, cache {cache}")
    yield from _site_cache(config)
    yield from _remote(config, ask=context.remote)


def _site_cache(config: Mapping[str, str]) -> Iterator[Finding]:
    """Check whether others can write to DVC's site cache: DVC reads pickles from it, and a pickle can run code."""
    from dvc.dirs import site_cache_dir

    folder = Path(site_cache_dir(config.get("core.site_cache_dir")))
    # DVC writes its config as ASCII, and empties the file where that fails.
    plain = str(Path.cwd()).isascii()
    set_it = "dvc config --local core.site_cache_dir " if plain else "export DVC_SITE_CACHE_DIR="
    if private(folder):
        yield ok(f"DVC's site cache {folder} is writable for you alone")
    else:
        yield warning(
            f"other users can write to DVC's site cache {folder}, and DVC unpickles the files in it",
            mend=f'mkdir -p -m 700 .dvc/tmp/site && {set_it}"$PWD/.dvc/tmp/site"',
        )


def private(folder: Path) -> bool:
    """Return whether only this user (or root) can write to a folder, or create it where it does not exist."""
    place = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    facts = place.stat()
    mine = facts.st_uid in ({os.getuid(), 0} if place != folder else {os.getuid()})
    return mine and not facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _remote(config: Mapping[str, str], *, ask: bool) -> Iterator[Finding]:
    urls = {key: url for key, url in config.items() if key.startswith("remote.") and key.endswith(".url")}
    remotes = {key.removeprefix("remote.").removesuffix(".url"): url for key, url in urls.items()}
    if not remotes:
        yield ok("no DVC remote: results stay on this machine (dvc remote add -d NAME URL shares them)")
        return
    default = config.get("core.remote")
    if default is None:
        yield warning(f"no DVC remote is the default one of {', '.join(remotes)}", mend="dvc remote default NAME")
    for name, url in remotes.items():
        path = Path(url)
        if "://" not in url and not (path if path.is_absolute() else Path(".dvc") / path).is_dir():
            yield warning(
                f"DVC remote {name}: {url} is not a folder here", mend=f"mkdir -p {url} (is its disk mounted?)"
            )
        elif "://" not in url or not ask:
            note = "" if "://" not in url else ", not contacted (--remote contacts it)"
            yield ok(f"DVC remote {name}: {url}{note}")
        else:
            yield _answers(name, url)


def _answers(name: str, url: str) -> Finding:
    command = (sys.executable, "-m", "dvc", "status", "--cloud", "--remote", name)
    try:
        output_of(*command, timeout_s=REMOTE_TIMEOUT_S)
    except RuntimeError as error:
        return warning(
            f"DVC remote {name}: {url} does not answer: {reason(error)}", mend=f"dvc status --cloud --remote {name} -v"
        )
    return ok(f"DVC remote {name}: {url} answers")


def pushed(context: Context) -> Iterator[Finding]:
    """Check that no run of the flow `retrain` waits to be pushed to DVC's remote."""
    waiting = list(unpushed(context.home))
    if waiting:
        corpus = waiting[0].partition("/")[0]
        yield warning(
            f"{len(waiting)} run(s) of `retrain` are unpushed: {', '.join(waiting)}",
            mend=f"dvc status --cloud (is the remote up?), then: prefect deployment run retrain/{corpus}",
        )
    else:
        yield ok("no run of `retrain` waits to be pushed")


def champions(context: Context) -> Iterator[Finding]:
    """Check that all outputs of each corpus' champion are in DVC's cache or its remote."""
    away = remote_champions(context.home)
    for corpus in away:
        yield warning(f"the champion of {corpus} is only on the remote `origin`", mend="foalnet champion")
    corpora = {params.corpus for params in context.corpora}.intersection(corpora_of(context.home))
    if not corpora and not away:
        yield ok("no corpus has a champion yet")
    for corpus in sorted(corpora):
        commit = history(context.home, corpus)[0].effective
        loss = loss_of(context.home, corpus, commit, network=context.remote)
        if loss.lost:
            yield fault(f"champion {commit[:10]} of {corpus}: {loss}", mend=remedy(corpus, commit))
        elif loss.away:
            yield warning(f"champion {commit[:10]} of {corpus}: {loss}", mend="foalnet doctor --remote")
        else:
            yield ok(f"the champion of {corpus} has all its outputs")


def prefect(context: Context) -> Iterator[Finding]:
    """Check that Prefect's servers and clients send no analytics."""
    version = importlib.metadata.version("prefect")
    given = _prefect_settings(context.home) | dict(os.environ)
    quiet = given.get("DO_NOT_TRACK", "").lower() in ON
    if quiet or given.get("PREFECT_SERVER_ANALYTICS_ENABLED", "true").lower() in OFF:
        yield ok(f"Prefect {version}, analytics off")
    else:
        yield warning(
            f"Prefect {version}: a server started from this shell sends analytics (the flows switch them off)",
            mend="export DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false",
        )


def _prefect_settings(home: Path) -> dict[str, str]:
    """Return the settings of Prefect's active profile and the project's prefect.toml, as environment variables."""
    base = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    profiles = _toml(base / "profiles.toml")
    active = profiles.get("profiles", {}).get(profiles.get("active", ""), {})
    server = _toml(home / "prefect.toml").get("server", {})
    declared = (
        {"PREFECT_SERVER_ANALYTICS_ENABLED": server["analytics_enabled"]} if "analytics_enabled" in server else {}
    )
    return {key: str(value) for key, value in (active | declared).items()}


def _toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}
