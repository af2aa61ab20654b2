"""What training meets from outside while it learns: a wish to stop, a state that is due, somebody who looks on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from foalnet.core.errors import Interrupted, MachineError
from foalnet.train import ranks
from foalnet.train.batches import Store
from foalnet.train.machine import STAGE, Stop
from foalnet.train.state import Progress

# What torch's allocator of a CPU says; that of a GPU has an error of its own.
CPU_REFUSAL = "can't allocate memory"


@dataclass(frozen=True, kw_only=True)
class Watch:
    """`stop` is looked at before every batch, of several processes by all at once.

    `due` tells when a state within an epoch is due, `keep` writes it.
    `show(progress, utterances)` is called after every step with the number of its utterances, `before(progress)` before
    every batch of training and evaluation.
    """

    stop: Stop
    due: Callable[[], bool] = lambda: False
    keep: Callable[[], None] = lambda: None
    show: Callable[[Progress, int], None] = lambda _progress, _utterances: None
    before: Callable[[Progress], None] = lambda _progress: None

    def look(self, fold: str, progress: Progress) -> None:
        """Before a batch: raise Interrupted (exit 5) where somebody asked to stop; else keep what is due."""
        self.before(progress)
        epochs, part = progress.epochs, progress.midway
        due = ranks.is_first() and part is not None and part.steps > part.kept and self.due()
        asked, due = ranks.any_of(self.stop.asked, due)
        if asked:
            raise Interrupted(
                f"stopped in fold {fold}, epoch {epochs + 1}; {epochs} epochs of it are kept"
                + (f" and {part.kept} steps of the next" if part is not None and part.kept else ""),
                stage=STAGE,
                action="run the same command again: it goes on from there",
            )
        if part is not None and due:
            part.kept = part.steps
            self.keep()


@contextmanager
def named_memory(store: Store, keys: Callable[[], Sequence[str]], where: str) -> Iterator[None]:
    """Turn a lack of memory inside the block into a MachineError (exit 4) that names the longest of `keys()`."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        ours = isinstance(error, torch.OutOfMemoryError | MemoryError) or CPU_REFUSAL in str(error)
        if not ours or not keys():
            raise
        longest = max(keys(), key=lambda key: (store.samples(key), key))
        seconds = store.samples(longest) / store.shape.rate_hz
        raise MachineError(
            f"out of memory in {where}; the longest of the batch's {len(keys())} utterances lasts {seconds:.2f} s",
            utterance=longest,
            stage=STAGE,
            action="free memory and run the same command again: it goes on; or lower train.batch_size or train.max_s "
            "in params.yaml: both change the result",
        ) from error
