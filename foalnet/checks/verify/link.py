"""One link of the chain behind a report: what was compared, what came of it, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from foalnet.core.redact import redact

Verdict = Literal["ok", "differs", "absent", "skipped"]
# Letters of a digest that are shown.
SHOWN = 16
NAMES_SHOWN = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """`name` says which link, `found` what was seen there; `action` mends what differs or is absent.

    ok: it holds. differs: two digests that must be one are two. absent: what must be read is not on this machine.
    skipped: it cannot be asked here, and nothing behind it depends on that.
    """

    verdict: Verdict
    name: str
    found: str
    action: str = ""

    def __str__(self) -> str:
        """One line for a terminal; what does not hold ends with the next action."""
        return f"{self.verdict:<8} {self.name}: {self.found}" + (f"; next: {self.action}" if self.action else "")

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object that may be shown to others."""
        return {name: redact(value) for name, value in asdict(self).items()}


def ok(name: str, found: str) -> Link:
    """Say that a link holds."""
    return Link(verdict="ok", name=name, found=found)


def differs(name: str, found: str, *, action: str) -> Link:
    """Say that a link does not hold."""
    return Link(verdict="differs", name=name, found=found, action=action)


def absent(name: str, found: str, *, action: str) -> Link:
    """Say that what must be read is not on this machine."""
    return Link(verdict="absent", name=name, found=found, action=action)


def skipped(name: str, found: str, *, action: str = "") -> Link:
    """Say that a link cannot be asked here."""
    return Link(verdict="skipped", name=name, found=found, action=action)


def two(expected: object, found: object, *, by: str, at: str) -> str:
    """Say which value was expected, by whom, and which was found, where."""
    return f"expected {short(expected)} ({by}), found {short(found)} ({at})"


def short(value: object) -> str:
    """Return a digest's first digits with their `.dir`, anything else whole."""
    text, tail = str(value).removesuffix(".dir"), ".dir" if str(value).endswith(".dir") else ""
    return f"{text[:SHOWN]}…{tail}" if len(text) in (32, 64) and set(text) <= set("0123456789abcdef") else str(value)


def some(names: Iterable[str]) -> str:
    """Return the first few of many names, and how many more there are."""
    every = sorted(names)
    more = f" and {len(every) - NAMES_SHOWN} more" if len(every) > NAMES_SHOWN else ""
    return ", ".join(every[:NAMES_SHOWN]) + more


def code_of(links: Iterable[Link]) -> int:
    """Return the exit code: 3 where a link differs, else 4 where something is absent, else 0."""
    verdicts = {link.verdict for link in links}
    return 3 if "differs" in verdicts else 4 if "absent" in verdicts else 0
