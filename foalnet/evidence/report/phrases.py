"""Formats numbers and verdicts as text: percent, points, intervals, p values, counts; for page and terminal alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from foalnet.config.variants import HALF
from foalnet.evidence.crossed import Contrast
from foalnet.evidence.stats import Interval

MINUS = "\N{MINUS SIGN}"
# Of fewer units a page says that they are few.
FEW_UNITS = 10
DASH = "\N{EN DASH}"

VARIANTS = {
    "audio_only": "sound alone",
    "video_only": "picture alone",
    "text_only": "text alone",
    "baseline": "fusion of both and classifier, no auxiliary task",
    "avel": "fusion with emotion alignment (AVEL)",
    "mem": "fusion with label matching (MEM)",
    "foal": "Foal-Net: fusion with both auxiliary tasks",
    "text_turns": "text over the turns of a dialogue (bc-LSTM)",
    "all_turns": "sound, picture and text over the turns of a dialogue (bc-LSTM)",
}
BLIND = ("audio_only", "text_only", "text_turns")
VARIANTS |= {name + HALF: f"{text}, half picture" for name, text in VARIANTS.items() if name not in BLIND}
VARIANTS |= {
    "concat": "sound and picture laid side by side",
    "gmu": "gated multimodal unit",
    "fbp": "factorised bilinear pooling (EmotiW 2019)",
    "jmt": "joint multimodal transformer (JMT)",
    "jmt_va": "joint multimodal transformer trained on valence and activation (JMT)",
    "hfg_style_va": "graphs, projected onto valence and activation too, in the style of HFGCN",
    "m2fnet_clip": "fusion attention over the steps of a clip (M2FNet)",
    "ecmf_style": "joint vectors, in the style of ECMF",
    "aimdit_style": "inception over steps and modalities, in the style of AIMDiT",
    "mpt_style": "prompts of the weaker modality, in the style of MPT-HCL",
    "hfg_style": "graphs of segments and turns, in the style of HFGCN",
    "text_prompts": "sentences of the classes guide the fusion",
    "gban_av": "group gated fusion of sound and picture (GBAN)",
    "gban": "group gated fusion of sound and text (GBAN)",
    "concat_text": "sound, picture and text laid side by side",
    "gmu_text": "gated multimodal unit, with text",
    "ecmf_style_text": "joint vectors with text, in the style of ECMF",
    "aimdit_style_text": "inception with text, in the style of AIMDiT",
    "mpt_style_text": "prompts for the text, in the style of MPT-HCL",
    "hfg_style_text": "graphs with text, in the style of HFGCN",
    "lmam": "low-rank matching attention over turns (LMAM)",
    "lmam_text": "matching attention over the turns of the text alone (LMAM)",
    "m2fnet": "fusion attention over turns (M2FNet)",
}


def described(variant: str) -> str:
    """Return what a variant is, in a few words."""
    return VARIANTS.get(variant, "a variant of params.yaml")


# Kinds of utterances of the drawn corpus, by what determines the class (docs/drawn.md).
KINDS = {
    "both": "sound alone or face alone suffices",
    "sound": "only the sound helps",
    "face": "only the face helps",
    "interaction": "only both together suffice",
}
# Why a single frame has no face; the ledger describes the same codes for whole utterances.
MISSING = {
    "detector_failed": "the detector failed",
    "no_face": "no face detected",
    "no_listener": "one person fills the picture",
    "other_face": "only faces of others",
    "video_damaged": "the video is damaged here",
    "video_missing": "there is no video",
    "video_truncated": "the video had ended",
}
# Why a dialogue's sides were not audited.
NOT_AUDITED = {
    "no_sound_with_motion": "no sound with motion to judge by",
    "one_person": "one person fills the picture",
}
# How the sides were decided, by `shards.sides`.
MODES = {
    "rule": "The corpus' rule was followed; the audit is for information only.",
    "audit": "Where the audit is sure of the opposite, it was followed instead of the corpus' rule.",
    "table": "The corpus' rule was followed except where the entry's table of sides says otherwise.",
}
# Description of each count that `train` records.
COUNTED = {
    "audio_truncated": "sounds cut to train.max_s",
    "text_truncated": "texts cut to train.text.words",
    "bad_steps": "steps skipped: loss or gradient not finite",
    "not_in_shards": "utterances without a clip",
    "pairs_without_negative": "pairs left out of MEM: no negative in the batch",
    "pairs_without_video": "pairs left out of AVEL and MEM: no picture",
    "video_missing": "utterances without any picture",
    "weights": "weights of the network",
}
# Remark next to a protocol's name wherever its scores are shown.
STAMPS = {
    "loso_dev_session": "chosen on a dev part; the headline",
    "loso_fixed_epochs": "nothing chosen",
    "paper_best_on_test": "optimistic: chosen on the test part",
}

# Names that templates use as they are.
FOR_TEMPLATES = (
    "COUNTED",
    "DASH",
    "MISSING",
    "MODES",
    "STAMPS",
    "described",
    "frozen_text",
    "people_text",
    "verdict",
)


def effect_titles(cluster: str, rule: str | None = None) -> dict[str, str]:
    """Return the names of standing.EFFECTS for readers; `rule` is that of a named split."""
    return {
        "selection": "choosing on the test part",
        "fourth_session": f"{trains_too(cluster, rule)} trains",
        "together": "both together",
    }


def trains_too(cluster: str, rule: str | None = None) -> str:
    """Return what trains where no dev part chooses the epoch."""
    return f"one more {fold_unit(cluster)}" if rule in (None, "rotation") else "the dev part"


def fold_unit(cluster: str) -> str:
    """Return what a fold tests; `cluster` is what the folds of the corpus keep together."""
    return "group of speakers" if cluster == "speaker" else "session"


def folds_text(metrics: Mapping[str, Any]) -> str:
    """Return what a line of figures says after the protocol: the named split, and whether tested speakers train."""
    named = metrics.get("named_split")
    if not named:
        return ""
    return f", split {named['name']}" + (f" ({trained(named)})" if named["test_speakers_in_training"] else "")


def trained(named: Mapping[str, Any]) -> str:
    """Return how many of the speakers tested are in the training part, and with how many utterances."""
    speakers = f"{number(named['test_speakers_in_training'])} of {plural(named['test_speakers'], 'tested speaker')}"
    utterances = plural(named["test_utterances_in_training"], "tested utterance")
    return f"{speakers}, with {utterances}, are in the training data too"


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share as a percentage without the percent sign: 0.7214 is "72.1"; None is a dash.

    >>> percent(0.7214), percent(None)
    ('72.1', '–')
    """
    return DASH if share is None else f"{100 * share:.{digits}f}".replace("-", MINUS)


def points(gap: float) -> str:
    """Return a difference of shares in percentage points with its sign: 0.042 is "+4.2".

    A value that is not zero is never shown as zero: 0.0003 is "+0.03".

    >>> points(0.042), points(0.0003)
    ('+4.2', '+0.03')
    """
    texts = (f"{100 * gap:+.{digits}f}".replace("-", MINUS) for digits in (1, 2, 3, 4))
    return next((text for text in texts if text.strip(f"+{MINUS}0.")), "0.0")


def span(interval: Interval, *, signed: bool = False) -> str:
    """Return the bounds of an interval: "66.9 to 77.0"."""
    show = points if signed else percent
    return f"{show(interval.low)} to {show(interval.high)}"


def span_short(interval: Interval) -> str:
    """Return the bounds of an interval of scores in short form for table cells: "66.9–77.0"."""
    return f"{percent(interval.low)}{DASH}{percent(interval.high)}"


def level(share: float) -> str:
    """Return a confidence level: 0.95 is "95 %"."""
    return f"{100 * share:g} %"


def number(count: float) -> str:
    """Return a count with separated thousands: 5531 is "5,531"."""
    return f"{count:,}"


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Return "1 speaker", "2 speakers"."""
    return f"{number(count)} {noun if count == 1 else nouns or noun + 's'}"


def listed(items: list[str], joiner: str = "and") -> str:
    """Return "a", "a and b", "a, b and c".

    >>> listed(["a", "b", "c"]), listed(["a", "b"], "or"), listed([])
    ('a, b and c', 'a or b', 'none')
    """
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {joiner} {items[-1]}" if items else "none"


def hours(seconds: float) -> str:
    """Return a duration in hours, or in minutes under two hours.

    >>> hours(900), hours(9000)
    ('15.0 min', '2.50 h')
    """
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.2f} h"


def p_value_text(p: float) -> str:
    """Return a p value as text: "p = 0.031", "p < 0.001"."""
    return f"p {p_cell(p)}" if p < 0.001 else f"p = {p_cell(p)}"


def p_cell(p: float) -> str:
    """Return a p value as text in a table: "0.031", "< 0.001"."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def effect_text(size: float) -> str:
    """Return an effect size as text: "+0.42"."""
    return f"{size:+.2f}".replace("-", MINUS)


def verdict(a: str, b: str, one: Contrast, margin: float) -> str:
    """Return a sentence on what a paired difference of UA shows, and how sure that is."""
    inside = one.interval
    figures = f"{a} minus {b} is {points(inside.estimate)} points of UA"
    bounds = f"{level(inside.level)} interval {span(inside, signed=True)}"
    if one.verdict in ("better", "worse"):
        better, worse = (a, b) if one.verdict == "better" else (b, a)
        return f"{better} is better than {worse}: {figures} ({bounds}; {p_value_text(one.p)})."
    if one.verdict == "equal":
        return f"{a} and {b} are equal within {points(margin)[1:]} points: {figures} ({bounds})."
    start = f"It is not decided whether {a} or {b} is better: {figures} ({bounds}; {p_value_text(one.p)})"
    if not one.has_spread or one.gap.units == 1:
        return f"{start}."
    size = points(one.detectable)[1:]
    return f"{start}. A true difference of {size} points would be detected in four of five such experiments."


def people_text(unit: str, count: int, seeds: int) -> str:
    """Return what the intervals say, and what they rest on."""
    by = f"{plural(count, unit)}{f' and {seeds} seeds' if seeds > 1 else ''}"
    few = "; so few say little of their own spread" if 1 < count < FEW_UNITS else ""
    one = " With one of them the spread is unknown." if count == 1 else ""
    who = f"other {'dialogues' if unit == 'dialogue' else 'people'}{' and other seeds' if seeds > 1 else ''}"
    return f"what {who} would give, by the spread over {by}{few}.{one}"


def frozen_text(variants: Sequence[str]) -> str:
    """Return which variants trained a fused variant's frozen encoders."""
    return f"encoders of {listed(list(variants))}, frozen; only the layers after them are trained"
