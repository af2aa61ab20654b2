"""Numbers in words: percent, points, intervals, p values, counts. One spelling for the page and the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from foalnet.config.blocks import HALF
from foalnet.evidence.stats import Difference, Interval

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"

VARIANTS = {
    "audio_only": "sound alone",
    "video_only": "picture alone",
    "baseline": "fusion of both and classifier, no auxiliary task",
    "avel": "fusion with emotion alignment (AVEL)",
    "mem": "fusion with label matching (MEM)",
    "foal": "Foal-Net: fusion with both auxiliary tasks",
}
VARIANTS |= {name + HALF: f"{text}, half picture" for name, text in VARIANTS.items() if name != "audio_only"}
# The kinds of utterances that the drawn corpus is made of (docs/drawn.md).
KINDS = {
    "both": "each alone tells",
    "sound": "only sound tells",
    "face": "only the face tells",
    "interaction": "only both together tell",
}
# Why a single frame has no face; the ledger's words for the same codes speak of whole utterances.
MISSING = {
    "detector_failed": "the detector failed",
    "no_face": "no face found",
    "video_damaged": "the video is damaged here",
    "video_missing": "there is no video",
    "video_truncated": "the video had ended",
}
# Why a dialogue's sides were not audited.
NOT_AUDITED = {
    "no_sound_with_motion": "no sound with motion to judge by",
    "one_person": "one person fills the picture",
}
# What parts two protocols, as metrics.json names it (standing.EFFECTS).
EFFECTS = {
    "selection": "choosing on the test part",
    "fourth_session": "one more session or group trains",
    "together": "both together",
}
# What stands beside a protocol's name wherever its scores stand.
STAMPS = {
    "loso_dev_session": "chosen on a dev session; the headline",
    "loso_fixed_epochs": "nothing chosen",
    "paper_best_on_test": "optimistic: chosen on the test session",
}


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share as a percent figure without the sign: 0.7214 is "72.1"; None is a dash."""
    return DASH if share is None else f"{100 * share:.{digits}f}".replace("-", MINUS)


def points(gap: float) -> str:
    """Return a difference of shares in percentage points with its sign: 0.042 is "+4.2".

    What is not zero is never shown as zero: 0.0003 is "+0.03".
    """
    texts = (f"{100 * gap:+.{digits}f}".replace("-", MINUS) for digits in (1, 2, 3, 4))
    return next((text for text in texts if text.strip(f"+{MINUS}0.")), "0.0")


def span(found: Interval, *, signed: bool = False) -> str:
    """Return the bounds of an interval: "66.9 to 77.0"."""
    show = points if signed else percent
    return f"{show(found.low)} to {show(found.high)}"


def span_short(found: Interval) -> str:
    """Return the bounds of an interval of scores as a table cell has room for: "66.9–77.0"."""
    return f"{percent(found.low)}{DASH}{percent(found.high)}"


def level(share: float) -> str:
    """Return a confidence level: 0.95 is "95 %"."""
    return f"{100 * share:g} %"


def number(count: float) -> str:
    """Return a count with thin thousands: 5531 is "5,531"."""
    return f"{count:,}"


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Return "1 speaker", "2 speakers"."""
    return f"{number(count)} {noun if count == 1 else nouns or noun + 's'}"


def listed(items: list[str], word: str = "and") -> str:
    """Return "a", "a and b", "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {word} {items[-1]}" if items else "none"


def hours(seconds: float) -> str:
    """Return a length of sound as a reader measures it: minutes under two hours."""
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.2f} h"


def p_value_text(p: float) -> str:
    """Return a p value as figures: "p = 0.031", "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def chance(found: Difference) -> str:
    """Say in words how often chance alone would make a difference as large."""
    if found.p < 0.001:
        often = "in fewer than 1 of 1,000 cases"
    elif found.p < 0.01:
        often = f"in about {round(1000 * found.p)} of 1,000 cases"
    elif found.p < 0.995:
        often = f"in about {round(100 * found.p)} of 100 cases"
    else:
        often = "in nearly every case"
    start = "if the two were equally good, chance alone would make a difference at least this large"
    return f"{start} {often} ({p_value_text(found.p)})"


def verdict(a: str, b: str, found: Difference) -> str:
    """Say in plain words what a paired difference shows, and how sure that is."""
    inside = found.interval
    bounds = f"{level(inside.level)} interval {span(inside, signed=True)}"
    if found.disagree:
        start = f"{undecided(a, b)}: {a} minus {b} is {points(inside.estimate)} points of UA ({bounds})"
    elif found.decided:
        better, worse, size = (a, b, inside.estimate) if inside.low > 0 else (b, a, -inside.estimate)
        start = (
            f"On these data {better} is better than {worse} by {percent(size)} points of UA ({a} minus {b}: {bounds})"
        )
    else:
        start = (
            f"These data do not decide between {a} and {b}: {a} minus {b} is {points(inside.estimate)} points of UA, "
            f"and the {bounds} holds zero"
        )
    return f"{start}; {chance(found)}."


def undecided(a: str, b: str) -> str:
    """Say what it means that the interval of a difference and its p value do not say the same."""
    return (
        f"The interval and the p value disagree about {a} and {b}, as two methods can close to a boundary, so these "
        "data do not decide between them"
    )


def few_clusters(count: int, cluster: str) -> str:
    """Caution where there are too few clusters for a bootstrap."""
    if count == 1:
        return f"There is one {cluster} only: nothing can be said about how far the scores would move with another one."
    return (
        f"There are only {count} {cluster}s. The intervals assume that their means are spread like a normal "
        "distribution, which so few cannot show: read them with care."
    )


def exact_bounds(cluster: str) -> str:
    """Say how an interval came about where nothing varies."""
    return (
        f"Where every {cluster} shows the same, all right for instance, drawing them again shows no spread: the "
        f"interval there is the exact binomial one (Clopper-Pearson) with each {cluster} as one case."
    )


def frozen_text(variants: Sequence[str]) -> str:
    """Say which variants trained a fused variant's encoders."""
    return f"its encoders are those of {listed(list(variants))}, frozen; what stands behind them learns"
