"""A link of the chain behind a report: what was compared, the verdict, what to do; and how a difference is shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from foalnet.artifact.digests import Digest
from foalnet.core.redact import redact

Verdict = Literal["ok", "differs", "absent", "skipped"]
# Letters of a digest that are shown.
SHOWN = 16
NAMES_SHOWN = 5
VALUES_SHOWN = 3
# Letters of a text that are shown before the first one that differs, and from it on.
BEFORE, BEHIND = 24, 48


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """`name` says which link, `result` what the check saw; `action` repairs what differs or is absent.

    ok: it holds. differs: two digests that should be equal are not. absent: what must be read is not on this machine.
    skipped: it cannot be checked here, and no later link depends on it.
    """

    verdict: Verdict
    name: str
    result: str
    action: str = ""

    def __str__(self) -> str:
        """One line for a terminal; what does not hold ends with the next action."""
        return f"{self.verdict:<8} {self.name}: {self.result}" + (f"; next: {self.action}" if self.action else "")

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object that may be shown to others."""
        return {name: redact(value) for name, value in asdict(self).items()}


def ok(name: str, result: str) -> Link:
    """Say that a link holds."""
    return Link(verdict="ok", name=name, result=result)


def differs(name: str, result: str, *, action: str) -> Link:
    """Say that a link does not hold."""
    return Link(verdict="differs", name=name, result=result, action=action)


def absent(name: str, result: str, *, action: str) -> Link:
    """Say that what must be read is not on this machine."""
    return Link(verdict="absent", name=name, result=result, action=action)


def skipped(name: str, result: str, *, action: str = "") -> Link:
    """Say that a link cannot be checked here."""
    return Link(verdict="skipped", name=name, result=result, action=action)


def mismatch(expected: object, actual: object, *, by: str, at: str) -> str:
    """Say which value is expected, by what, and which is there, where."""
    return f"expected {short_digest(expected)} ({by}), found {short_digest(actual)} ({at})"


def short_digest(value: object) -> str:
    """Return a digest's first digits with their `.dir`, anything else whole.

    >>> short_digest("0123456789abcdef" * 4), short_digest("drawn")
    ('0123456789abcdef…', 'drawn')
    """
    text, tail = str(value).removesuffix(".dir"), ".dir" if str(value).endswith(".dir") else ""
    return f"{text[:SHOWN]}…{tail}" if len(text) in (32, 64) and set(text) <= set("0123456789abcdef") else str(value)


def first_few(names: Iterable[str], most: int = NAMES_SHOWN) -> str:
    """Return the first `most` names in their order, and how many more there are."""
    every = sorted(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


def code_of(links: Iterable[Link]) -> int:
    """Return the exit code: 3 where a link differs, else 4 where something is absent, else 0.

    >>> code_of([ok("commit", "as here"), differs("figures", "UA", action="dvc repro")]), code_of([])
    (3, 0)
    """
    verdicts = {link.verdict for link in links}
    return 3 if "differs" in verdicts else 4 if "absent" in verdicts else 0


def differences(expected: Any, actual: Any, at: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted name, expected, actual) of the single values in which two JSON values differ.

    >>> list(differences({"n": 1, "ua": {"foal": 0.5}}, {"n": 1, "ua": {"foal": 0.6}}))
    [('ua.foal', 0.5, 0.6)]
    """
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for name in sorted({*expected, *actual}):
            yield from differences(expected.get(name), actual.get(name), f"{at}.{name}".strip("."))
    elif _is_list(expected) and _is_list(actual) and len(expected) == len(actual):
        for number, (one, other) in enumerate(zip(expected, actual, strict=True)):
            yield from differences(one, other, f"{at}.{number}".strip("."))
    elif expected != actual:
        yield at, expected, actual


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def shown(differing: Sequence[tuple[str, Any, Any]], *, by: str, at: str) -> str:
    """Say in which values two objects differ, the first few in full."""
    few = [f"{name}: {mismatch(one, other, by=by, at=at)}" for name, one, other in differing[:VALUES_SHOWN]]
    more = f"; and {len(differing) - VALUES_SHOWN} more" if len(differing) > VALUES_SHOWN else ""
    return "; ".join(few) + more


def first_difference(expected: str, actual: str, *, at: str) -> str:
    """Say where two texts begin to differ, with the letters around it."""
    same = (number for number, (one, other) in enumerate(zip(expected, actual, strict=False)) if one != other)
    start = next(same, min(len(expected), len(actual)))
    around = [" ".join(text[max(0, start - BEFORE) : start + BEHIND].split()) for text in (expected, actual)]
    line = expected.count("\n", 0, start) + 1
    return f"line {line}: expected “{around[0]}” (computed again), found “{around[1]}” ({at})"


def compare_files(
    name: str, listed: Mapping[str, tuple[int, str]], actual: Mapping[str, Digest], *, by: str, action: str, held: str
) -> Link:
    """Compare the sizes and SHA-256 that an index lists with those of the files; `held`: what to say where all hold."""
    wrong = [
        f"{path}: "
        + (
            mismatch(digest, actual[path].sha256, by=by, at="file")
            if actual[path].size == size
            else f"it is {'shorter' if actual[path].size < size else 'longer'} than the {by} says: "
            f"{actual[path].size:,} of {size:,} bytes"
        )
        for path, (size, digest) in sorted(listed.items())
        if (actual[path].size, actual[path].sha256) != (size, digest)
    ]
    if wrong:
        return differs(name, f"{len(wrong)} of {len(listed)} files: {'; '.join(wrong[:3])}", action=action)
    return ok(name, held)
