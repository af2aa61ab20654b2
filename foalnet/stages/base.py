"""Defines a stage of dvc.yaml: its run, forecast and checks, and which cached folders `gc` must keep; runs one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from foalnet.artifact.provenance import CodeGuard
from foalnet.config import Params, Settings
from foalnet.config.load import Run
from foalnet.core.errors import FoalnetError
from foalnet.core.files import need_writable
from foalnet.core.locks import lock
from foalnet.core.paths import Paths, run_name
from foalnet.core.temporaries import remove_temporaries
from foalnet.stages.chain import Chain
from foalnet.stages.forecast import Forecast
from foalnet.stages.link import Link


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What a stage is run for: a corpus, and one of its runs where the stage trains or scores a run.

    `say` gets a line while the stage is at work.
    """

    params: Params
    settings: Settings
    paths: Paths
    run: Run | None = None
    say: Callable[[str], None] = lambda _: None

    @property
    def one_run(self) -> Run:
        """The run; a stage that is run per corpus has none (ValueError)."""
        if self.run is None:
            raise ValueError("this stage is run for a corpus, not for a run")
        return self.run


def _nothing(_: Context) -> set[Path]:
    return set()


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One stage of dvc.yaml.

    `name`: the verb of the CLI. `short`: its line in the list of verbs; the docstring of `run` is the verb's help.
    `code`: the modules whose imports dvc.yaml lists. `per_run`: dvc.yaml has it once for each run, else once for each
    corpus. `folders`: what it writes to. `run` does the work and returns lines for the user. `forecast`: what
    `--dry-run` prints; None: the stage takes seconds. `check`: compares the outputs with what they were made from.
    `cached`: the folders of the work cache that `gc` keeps; `cache_kind`: the kind of these folders. `processes`: the
    setting `train_processes` may spread it over several processes.
    """

    name: str
    short: str
    code: tuple[str, ...]
    folders: Callable[[Context], Iterable[Path]]
    run: Callable[[Context], Iterable[str]]
    check: Callable[[Chain], Iterator[Link]]
    forecast: Callable[[Context], Forecast] | None = None
    cached: Callable[[Context], set[Path]] = _nothing
    cache_kind: str = ""
    per_run: bool = False
    processes: bool = False


def run_stage(stage: Stage, context: Context, *, writes: bool = True) -> list[str]:
    """Run a stage and return its lines; a FoalnetError names the stage.

    `writes`: False for the processes of a training that publish nothing. MachineError (exit 4) as `one_writer` raises
    it; else as the stage's own errors say.
    """
    run, corpus = context.run, context.params.corpus
    name = stage.name if run is None else f"{stage.name}-{run_name(run.variant, run.seed, run.split)}"
    with errors_of(stage.name):
        if not writes:
            return list(stage.run(context))
        with one_writer(name, corpus, context.settings, lambda: stage.folders(context), keep=context.paths.data):
            return list(stage.run(context))


@contextmanager
def errors_of(stage: str) -> Iterator[None]:
    """Name the stage in every FoalnetError that names none."""
    try:
        yield
    except FoalnetError as error:
        error.stage = error.stage or stage
        raise


@contextmanager
def one_writer(
    name: str, corpus: str, settings: Settings, folders: Callable[[], Iterable[Path]], *, keep: Path | None = None
) -> Iterator[None]:
    """Hold the lock of a verb of a corpus; check first that it can write, and clear away what killed writers left.

    `keep`: a folder in which nothing below is cleared. MachineError (exit 4) where another process holds the lock,
    where a folder cannot be written, or, at the end, where the package's code changed meanwhile.
    """
    guard = CodeGuard()
    with lock(settings.work / "locks" / f"{name}-{corpus}"):
        every = [settings.work, *folders()]
        need_writable(every)
        for folder in every:
            # A corpus' own tree may be below its data folder; nothing in it may be removed.
            remove_temporaries(folder, below=folder != keep)
        yield
        guard.check()


def with_folders(folder: Path) -> list[Path]:
    """Return a folder and the folders in it."""
    return [folder, *sorted(path for path in folder.glob("*") if path.is_dir())]
