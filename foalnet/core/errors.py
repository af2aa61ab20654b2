"""Typed errors: each one names file, utterance, stage and the next action, and carries its exit code.

Exit codes: 0 ok, 2 usage or params, 3 data contract, 4 environment (a retry may help),
5 interrupted (a rerun resumes), 70 bug.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """Return `text` with control and other unprintable characters escaped: a file name can contain any of them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def reason(error: BaseException) -> str:
    """Return an error's message without its file name; if the message is empty, the name of its class.

    >>> reason(PermissionError(13, "Permission denied", "a.wav")), reason(KeyError("lr")), reason(MemoryError())
    ('Permission denied', "no 'lr'", 'out of memory')
    """
    message = str(getattr(error, "strerror", None) or error).strip()
    if isinstance(error, KeyError) and message:
        return f"no {message}"
    return message or ("out of memory" if isinstance(error, MemoryError) else type(error).__name__)


def named(error: BaseException) -> str:
    """Return the name of an error's class, followed by its message if it has one.

    >>> named(ValueError("too long")), named(KeyboardInterrupt())
    ('ValueError: too long', 'KeyboardInterrupt')
    """
    return ": ".join(filter(None, (type(error).__name__, str(error).strip())))


class FoalnetError(Exception):
    """An error that a user can act on; any other exception that reaches the command line is a bug (exit 70).

    >>> print(DataError("the line does not parse", file="a.txt", stage="manifest@drawn", action="correct it"))
    the line does not parse
      stage: manifest@drawn
      file: a.txt
      next: correct it
    """

    exit_code = 70

    def __init__(
        self,
        what: str,
        *,
        file: object | None = None,
        utterance: str | None = None,
        stage: str | None = None,
        action: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.file = None if file is None else str(file)
        self.utterance = utterance
        self.stage = stage
        self.action = action

    def __str__(self) -> str:
        """Return one readable block: what happened, where, and what to do next."""
        file, utterance = printable(self.file or ""), printable(self.utterance or "")
        where = [("stage", self.stage), ("file", file), ("utterance", utterance), ("next", self.action)]
        return "\n".join([self.what, *(f"  {name}: {value}" for name, value in where if value)])

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle every field, so that a worker's error reads the same in its parent process."""
        return _rebuild, (type(self), self.what, self.file, self.utterance, self.stage, self.action)


def _rebuild(
    kind: type[FoalnetError],
    what: str,
    file: str | None,
    utterance: str | None,
    stage: str | None,
    action: str | None,
) -> FoalnetError:
    return kind(what, file=file, utterance=utterance, stage=stage, action=action)


class UsageError(FoalnetError):
    """Wrong arguments or params (exit 2); a retry cannot help."""

    exit_code = 2


class DataError(FoalnetError):
    """The data violates its contract (exit 3); a retry cannot help."""

    exit_code = 3


class MachineError(FoalnetError):
    """This machine lacks or refuses something (exit 4); a retry may help."""

    exit_code = 4


class Interrupted(FoalnetError):
    """A signal stopped the command (exit 5); the same command resumes it."""

    exit_code = 5
