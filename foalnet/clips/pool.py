"""A process pool for jobs that may kill their worker: a death costs one retry, an interrupt leaves no process behind.

`concurrent.futures` does not report which job broke its pool, so each worker here has a pipe of its own.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from foalnet.core.errors import FoalnetError, Interrupted, MachineError
from foalnet.core.faults import fault_of
from foalnet.core.processes import die_with_parent

Job = TypeVar("Job")
RETRIES = 1
# The exit status of a worker that ran out of memory.
NO_MEMORY = errno.ENOMEM


class WorkerDied(MachineError):
    """Two workers in turn died on the same job; `reason` is the ledger code."""

    reason = "worker_died"


@dataclass(kw_only=True, slots=True)
class _Worker:
    """A process, the parent's end of its pipe, and the position of its current job."""

    process: Any
    pipe: Connection
    job: int | None = None

    def kill(self) -> None:
        """Kill the process and every process it started."""
        if self.process.pid is not None and self.process.is_alive():
            for send in (os.killpg, os.kill):
                try:
                    send(self.process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        self.process.join()
        self.pipe.close()


@dataclass(kw_only=True)
class Pool(Generic[Job]):
    """Runs `work(state, job)` for every job on `workers` processes; each process calls `setup()` once for its state.

    `setup` and `work` must be importable functions (or partials of them). `name` returns a job's name for messages.
    """

    setup: Callable[[], Any]
    work: Callable[[Any, Job], Any]
    name: Callable[[Job], str]
    workers: int
    done: Callable[[Job], None] = lambda _: None
    errors: dict[int, FoalnetError | RuntimeError] = field(default_factory=dict)

    def run(self, jobs: Sequence[Job]) -> list[Any]:
        """Return the jobs' results in order; try every job before raising the first failure.

        MachineError takes precedence over other failures, because a second run may succeed. A worker that dies is
        replaced and its job retried once; a second death is MachineError (exit 4). Interrupted (exit 5) after Ctrl-C,
        once every worker and its children are killed.
        """
        results: list[Any] = [None] * len(jobs)
        queue, tries = deque(range(len(jobs))), [0] * len(jobs)
        workers: list[_Worker] = []
        try:
            workers = [self._start() for _ in range(min(self.workers, len(jobs)))]
            while queue or any(worker.job is not None for worker in workers):
                for worker in workers:
                    if worker.job is None and queue:
                        self._send(worker, queue.popleft(), jobs)
                busy = [worker for worker in workers if worker.job is not None]
                ready = wait([worker.pipe for worker in busy])
                for worker in [w for w in busy if w.pipe in ready]:
                    self._receive(worker, jobs, results, queue, tries, workers)
        except KeyboardInterrupt as error:
            raise Interrupted(
                "stopped while dialogues were being staged",
                action="run the same command again: finished dialogues are kept",
            ) from error
        finally:
            for worker in workers:
                worker.kill()
        self._raise_first(jobs)
        return results

    def _start(self) -> _Worker:
        # spawn: a forked child would inherit locks held by threads that it does not have.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self.setup, self.work, os.getpid()), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process=process, pipe=ours)

    def _send(self, worker: _Worker, position: int, jobs: Sequence[Job]) -> None:
        worker.job = position
        try:
            worker.pipe.send(jobs[position])
        except OSError:
            return  # it died while idle; `_receive` sees the closed pipe and replaces the worker

    def _receive(
        self,
        worker: _Worker,
        jobs: Sequence[Job],
        results: list[Any],
        queue: deque[int],
        tries: list[int],
        workers: list[_Worker],
    ) -> None:
        """Receive a worker's answer, or replace the worker if it died."""
        position = worker.job
        assert position is not None
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, OSError):
            worker.kill()
            workers[workers.index(worker)] = self._start()
            tries[position] += 1
            if tries[position] <= RETRIES:
                queue.appendleft(position)
            else:
                self.errors[position] = self._died(jobs[position], worker.process.exitcode)
            return
        worker.job = None
        if kind == "result":
            results[position] = value
            self.done(jobs[position])
        elif kind == "error":
            self.errors[position] = value
        else:
            self.errors[position] = RuntimeError(f"{self.name(jobs[position])}: a bug in a worker\n{value}")

    def _died(self, job: Job, exit_code: int | None) -> WorkerDied:
        how = f"killed by signal {-exit_code}" if exit_code is not None and exit_code < 0 else f"exit {exit_code}"
        how = "out of memory" if exit_code == NO_MEMORY else how
        return WorkerDied(
            f"the worker for {self.name(job)} died twice ({how}); the other jobs are done and kept",
            action="if memory ran out, lower FOALNET_WORKERS; then run the same command again",
        )

    def _raise_first(self, jobs: Sequence[Job]) -> None:
        if not self.errors:
            return
        ordered = sorted(
            self.errors, key=lambda position: (not isinstance(self.errors[position], MachineError), position)
        )
        first = self.errors[ordered[0]]
        others = [self.name(jobs[position]) for position in ordered[1:]]
        if others and isinstance(first, FoalnetError):
            first.what += f"\n  {len(others)} more failed: {', '.join(others[:10])}{', …' if len(others) > 10 else ''}"
        raise first


def _serve(pipe: Connection, setup: Callable[[], Any], work: Callable[[Any, Any], Any], parent: int) -> None:
    """Serve jobs in a worker process until the pipe closes; the worker ignores Ctrl-C and dies with its parent."""
    # Ctrl-C reaches every process in the terminal's group. A decoder that it stopped would look like an unreadable
    # video, so the worker and its children leave that group; the parent kills them.
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(parent)
    state, ready = None, False
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        try:
            if not ready:
                state, ready = setup(), True
            answer: tuple[str, Any] = ("result", work(state, job))
        except FoalnetError as error:
            answer = ("error", error)
        except MemoryError:
            # End as if the kernel had killed it: the remaining state cannot be trusted.
            os._exit(NO_MEMORY)
        except Exception as error:
            fault = fault_of(error)
            answer = ("bug", traceback.format_exc()) if fault is None else ("error", fault)
        try:
            pipe.send(answer)
        except OSError:
            return
