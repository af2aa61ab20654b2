"""The page of a probe, as Markdown: a section for each question, where its data are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from foalnet.core.markdown import escape, table
from foalnet.evidence.report.phrases import p_cell

UNITS = {"session": "sessions", "speaker": "speakers", "dialogue": "dialogues"}
SOFT = ("soft", "least")
Facts = Mapping[str, Any]


def page(facts: Facts) -> str:
    """Return probe.md for the contents of probe.json."""
    unit = UNITS[facts["unit"]]
    others = "other dialogues like these" if facts["unit"] == "dialogue" else "other people"
    lines = [
        f"# What would happen if: {len(facts['selective'])} variants on {facts['corpus']}",
        "",
        f"{facts['utterances']} tested utterances of {facts['units']} {unit}, {len(facts['classes'])} classes, seeds "
        f"{', '.join(map(str, facts['seeds']))}: the runs of `train` and `evaluate`, protocol loso_dev_session. Scores "
        "are means over the seeds.",
        "",
        f"Intervals ({100 * facts['level']:g} %) and p values are over {unit} and seeds, both random: {others}, and "
        "training with another seed. What each section means: docs/probe.md.",
    ]
    if len(facts["seeds"]) == 1:
        lines += ["", "**One seed was trained**: no interval here contains what another seed would change."]
    lines += ["", "## Disturbed clips", "", *_scores(facts), "", "### Differences to the undisturbed clips", ""]
    lines += [*_differences(facts), "", "## Answering only where the model is sure", "", *_selective(facts)]
    lines += ["", "## Controls", "", *_controls(facts)]
    if facts["raters"] is not None:
        lines += ["", "## Raters", "", *_raters(facts["raters"])]
    if facts["learning_curve"] is not None:
        lines += ["", "## Fewer training sessions", "", *_curve(facts)]
    return "\n".join([*lines, ""])


def percent(value: float | None) -> str:
    """Return a share in percent with one decimal.

    >>> percent(0.8126), percent(None)
    ('81.3', '-')
    """
    return "-" if value is None else f"{100 * value:.1f}"


def _scores(facts: Facts) -> list[str]:
    robust = facts["robustness"]
    variants: Mapping[str, Facts] = robust["variants"]
    rows = [
        [name, *(percent(row[name]["ua"]) if name in row else "-" for row in variants.values())]
        for name in ("undisturbed", *robust["disturbances"])
    ]
    return [
        "UA in %. The networks are those of the report, trained on undisturbed clips; a dash is a disturbance that was "
        "not applied.",
        "",
        *table(["clips", *variants], rows, labels=1),
        *_notes(facts),
    ]


def _notes(facts: Facts) -> Iterator[str]:
    """Yield a line for each reason why a disturbance was not applied, and for one that changed only a part."""
    robust = facts["robustness"]
    for variant, row in robust["variants"].items():
        by_reason: dict[str, list[str]] = {}
        for name, why in row["reasons"].items():
            by_reason.setdefault(why, []).append(name)
        for why, names in by_reason.items():
            yield from ("", f"Not applied to {escape(variant)}: {escape('; '.join(names))}: {escape(why)}.")
        for name in robust["disturbances"]:
            if name in row and row[name]["changed"] < facts["utterances"]:
                changed = f"{row[name]['changed']} of {facts['utterances']} utterances were changed"
                yield from ("", f"{escape(variant)}, {escape(name)}: {changed}, the others had nothing to change.")


def _differences(facts: Facts) -> list[str]:
    rows = []
    for name, row in facts["robustness"]["differences"].items():
        bounds, p = "-", "-"
        if row["p"] is not None:
            bounds, p = f"{100 * row['low']:+.1f} to {100 * row['high']:+.1f}", p_cell(row["p"])
        rows.append([name, f"{100 * row['ua']:+.1f}", bounds, p, p_cell(row["p_holm"]), row["verdict"]])
    if not rows:
        return ["No disturbance was applied."]
    return [
        "In points of UA, disturbed minus undisturbed, the same networks on the same utterances. p values are "
        f"adjusted for all {len(rows)} rows (Holm); intervals are not. `equal`: less than "
        f"{100 * facts['margin']:g} points apart (TOST, Holm).",
        "",
        *table(["variant: clips", "points", "interval", "p", "p, Holm", "verdict"], rows, labels=1),
    ]


def _selective(facts: Facts) -> list[str]:
    variants: Mapping[str, Facts] = facts["selective"]
    coverages = next(iter(variants.values()))["accuracy"]
    rows = [
        [
            name,
            *(percent(value) for value in row["accuracy"].values()),
            *(f"{row[area]:.3f}" for area in ("aurc", "best", "random")),
        ]
        for name, row in variants.items()
    ]
    return [
        "Accuracy in % of the answers that are kept if the least sure are left out, by the probability of the answer. "
        "AURC is the area under the curve of risk over coverage: 0 is best; compare that of the best possible order "
        "of these answers, and that of a random order.",
        "",
        *table(
            ["variant", *(f"{each} % kept" for each in coverages), "AURC", "best possible", "random"], rows, labels=1
        ),
    ]


def _controls(facts: Facts) -> list[str]:
    controls, count = facts["controls"], facts["probe"]["permutations"]
    permuted = [
        [name, percent(row["ua"]), percent(row["permuted"]), percent(row["highest"]), p_cell(row["p"])]
        for name, row in controls["permuted"].items()
    ]
    return [
        "Answers without the clips:",
        "",
        *table(["answer", "UA %"], [[name, percent(ua)] for name, ua in controls["blind"].items()], labels=1),
        "",
        "The most frequent class of a session, speaker or dialogue is taken from the test labels themselves: it bounds "
        "what one who recognises them could score.",
        "",
        f"The stored answers against labels that are permuted within each speaker, {count} times for each seed: the "
        "mean should be near the first two rows. p is (1 + permutations at or above the UA) / (1 + permutations), the "
        "largest of the seeds.",
        "",
        *table(["variant", "UA %", "permuted, mean", "permuted, highest", "p"], permuted, labels=1),
    ]


def _raters(raters: Facts) -> list[str]:
    known = raters["unanimous"] + raters["split"]
    lines = [
        f"Of {known} utterances with at least two raters {raters['unanimous']} "
        f"({percent(raters['unanimous'] / known)} %) are unanimous: all raters name one class and no other. "
        f"{percent(raters['outside'])} % of the votes name no class of the experiment."
        + (f" {raters['without']} utterances have fewer than two raters." if raters["without"] else ""),
        "",
    ]
    rows: list[Sequence[object]] = [
        [name, *(percent(row[k]) for k in ("unanimous", "split")), *(f"{row[k]:.3f}" for k in SOFT if k in row)]
        for name, row in raters["variants"].items()
    ]
    head = ["variant", "UA %, unanimous", "UA %, split", "soft cross-entropy", "least possible"]
    lines += table(head if raters["soft_utterances"] else head[:3], rows, labels=1)
    if raters["soft_utterances"]:
        lines += [
            "",
            f"Soft cross-entropy, in nats: that of the probabilities with the shares of the votes for each class, over "
            f"{raters['soft_utterances']} utterances; the least possible is the entropy of the votes.",
        ]
    if (top := raters["ceiling"]) is not None:
        lines += [
            "",
            f"One rater against the majority of at least two others: UA {percent(top['ua'])} %, WA "
            f"{percent(top['wa'])} % ({top['judgements']} judgements of {top['utterances']} utterances).",
        ]
    return lines


def _curve(facts: Facts) -> list[str]:
    curve: Mapping[str, Mapping[str, Facts]] = facts["learning_curve"]
    rows = [
        [
            name,
            sessions,
            percent(row["ua"]),
            f"{percent(row['low'])} to {percent(row['high'])}",
            percent(row["seed_sd"]),
        ]
        for name in curve["all"]
        for sessions, by_variant in curve.items()
        if (row := by_variant.get(name)) is not None
    ]
    return [
        "The same recipe and tests with fewer training sessions (or groups of speakers), those that follow the dev "
        "part; `all`: the runs of the report. A smaller training part has fewer steps in each epoch.",
        "",
        *table(["variant", "training sessions", "UA %", "interval", "sd over seeds"], rows, labels=1),
    ]
