"""Interrupts, checkpoint timing and progress callbacks during training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from foalnet.core.errors import Interrupted, MachineError
from foalnet.train import ranks
from foalnet.train.batches import Store
from foalnet.train.environment import Stop
from foalnet.train.state import Progress

# In the message of torch's CPU allocator; the GPU's allocator has its own exception type.
CPU_REFUSAL = "can't allocate memory"


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """The callbacks of one training.

    `stop` is checked before every batch; several processes agree on it. `due` returns whether a checkpoint within an
    epoch is due, `keep` writes it. Training calls `show(progress, utterances)` after every step with its number of
    utterances, and `before(progress)` before every batch of training and evaluation.
    """

    stop: Stop
    due: Callable[[], bool] = lambda: False
    keep: Callable[[], None] = lambda: None
    show: Callable[[Progress, int], None] = lambda _progress, _utterances: None
    before: Callable[[Progress], None] = lambda _progress: None

    def before_batch(self, fold: str, progress: Progress) -> None:
        """Raise Interrupted (exit 5) if a stop was requested; otherwise write a checkpoint if one is due."""
        self.before(progress)
        epochs, part = progress.epochs, progress.midway
        due = ranks.is_first() and part is not None and part.steps > part.saved and self.due()
        requested, due = ranks.any_of(self.stop.requested, due)
        if requested:
            raise Interrupted(
                f"stopped in fold {fold}, epoch {epochs + 1}; {epochs} epochs of it are kept"
                + (f" and {part.saved} steps of the next" if part is not None and part.saved else ""),
                action="run the same command again: it resumes from there",
            )
        if part is not None and due:
            part.saved = part.steps
            self.keep()


@contextmanager
def named_memory(store: Store, keys: Callable[[], Sequence[str]], where: str) -> Iterator[None]:
    """Turn an out-of-memory error inside the block into MachineError (exit 4) naming the longest of `keys()`."""
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
            action="free memory and run the same command again: it resumes; or lower train.batch_size or train.max_s "
            "in params.yaml: both change the result",
        ) from error
