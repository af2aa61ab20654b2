"""The page of a study, as Markdown: who was compared how, the variants by score, the differences, the ranks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foalnet.core.markdown import escape
from foalnet.evidence.report.phrases import p_cell

UNITS = {"session": "sessions", "speaker": "speakers", "dialogue": "dialogues"}


def page(facts: Mapping[str, Any]) -> str:
    """Return board.md for the contents of board.json."""
    seeds, unit = facts["seeds"], UNITS[facts["unit"]]
    others = "other dialogues like these" if facts["unit"] == "dialogue" else "other people"
    lines = [
        f"# Study {facts['study']}: {len(facts['variants'])} variants on {facts['corpus']}",
        "",
        f"{facts['utterances']} utterances of {facts['units']} {unit}, {facts['classes']} classes, folds by "
        f"{facts['fold_by']}, seeds {', '.join(map(str, seeds))}. The epoch is chosen on the dev part of each fold.",
        "",
        f"Intervals ({100 * facts['level']:g} %) and p values are over {unit} and seeds, both random: {others}, and "
        "training with another seed. Verdicts use p values that are adjusted for all comparisons of the study (Holm); "
        "the intervals are not adjusted.",
    ]
    if len(seeds) == 1:
        lines += ["", "**One seed was trained**: no interval here contains what another seed would change."]
    if facts["failed"]:
        lines += ["", "Failed, so that their variants are not compared:"]
        lines += [f"- {escape(name)}: {escape(why)}" for name, why in facts["failed"].items()]
    if "search" in facts:
        lines += ["", "## Search", "", *_search(facts["search"])]
    lines += ["", "## Scores", "", *_scores(facts), "", "## Differences", "", *_differences(facts)]
    if facts["power"]:
        lines += ["", "## What more seeds would detect", "", *_power(facts)]
    if facts["explained"]:
        lines += ["", "## How the methods decided", "", *_explained(facts)]
    return "\n".join([*lines, "", "## Ranks over the seeds", "", *_ranks(facts), ""])


def _search(search: Mapping[str, Any]) -> list[str]:
    """Return the points, and of each variant the dev UA that it reached with each, the chosen one in bold."""
    grid, folds = search["points"], search["folds"]
    lines = [
        f"Before the study every variant tried the same {len(grid)} points with seed {search['seed']}, scored by UA on "
        f"{'the dev part of the first fold' if folds == 1 else f'the dev parts of the first {folds} folds'}; its best "
        "one (bold) holds for all seeds. No test part was scored; but where every person is tested in turn, those of a "
        "dev part are tested in another fold. The best of several scores is too high.",
        "",
        "| point | lr | weight_decay | head_dropout |",
        "|--:|--:|--:|--:|",
    ]
    for number, point in enumerate(grid, 1):
        values = [f"{point[name]:g}" for name in ("lr", "weight_decay", "head_dropout")] if point else ["as it is"] * 3
        lines.append(f"| {number} | {' | '.join(values)} |")
    lines += ["", f"| dev UA % at point | {' | '.join(str(n) for n in range(1, len(grid) + 1))} |"]
    lines.append(f"|---|{'--:|' * len(grid)}")
    for name, scores in search["dev_ua"].items():
        cells = ["failed" if score is None else f"{100 * score:.1f}" for score in scores]
        cells[search["chosen"][name] - 1] = f"**{cells[search['chosen'][name] - 1]}**"
        lines.append(f"| {escape(name)} | {' | '.join(cells)} |")
    return lines


def _scores(facts: Mapping[str, Any]) -> list[str]:
    lines = [
        "| variant | method | inputs | UA % | interval | sd over seeds | WA % | weighted F1 % | parameters | MFLOP |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, row in sorted(facts["variants"].items(), key=lambda item: (-item[1]["ua"], item[0])):
        spread = "-" if row["seed_sd"] is None else f"{100 * row['seed_sd']:.1f}"
        bounds = "-" if row["low"] is None else f"{100 * row['low']:.1f} to {100 * row['high']:.1f}"
        lines.append(
            f"| {escape(name)} | {row['method']} | {', '.join(row['inputs'])} | {100 * row['ua']:.1f} | "
            f"{bounds} | {spread} | {100 * row['wa']:.1f} | "
            f"{100 * row['weighted_f1']:.1f} | {row['trained_parameters']:,} | "
            f"{row['flops'] / 1e6:.1f} |"
        )
    for name, row in facts["variants"].items():
        for rating, ccc in row.get("affect", {}).items():
            lines += ["", f"{escape(name)}: CCC of {rating} {ccc:.3f}, over the tested utterances, mean of the seeds."]
    return [
        *lines,
        "",
        "Parameters: those that learn. MFLOP: million floating-point operations of the forward pass of one utterance "
        "of median length, encoders included.",
    ]


def _differences(facts: Mapping[str, Any]) -> list[str]:
    margin = f"{100 * facts['margin']:g}"
    lines = [
        f"In points of UA. `equal`: less than {margin} points apart (TOST, Holm). The last column: the smallest true "
        "difference that this comparison detects in four of five studies.",
        "",
        "| a - b | points | interval | p | p, Holm | verdict on a | detectable |",
        "|---|--:|--:|--:|--:|---|--:|",
    ]
    for name, row in facts["differences"].items():
        bounds, p, least = "-", "-", "-"
        if row["p"] is not None:
            bounds, p = f"{100 * row['low']:+.1f} to {100 * row['high']:+.1f}", p_cell(row["p"])
            least = f"{100 * row['detectable']:.1f}"
        lines.append(
            f"| {escape(name)} | {100 * row['ua']:+.1f} | {bounds} | {p} | {p_cell(row['p_holm'])} "
            f"| {row['verdict']} | {least} |"
        )
    return lines


def _power(facts: Mapping[str, Any]) -> list[str]:
    lines = [
        "From the variances of this study: the true difference that would be detected in four of five studies with as "
        f"many {UNITS[facts['unit']]} and so many seeds, for the median comparison and for the worst.",
        "",
        "| seeds | typical, points | worst, points |",
        "|--:|--:|--:|",
    ]
    for seeds, row in facts["power"].items():
        lines.append(f"| {seeds} | {100 * row['typical']:.1f} | {100 * row['largest']:.1f} |")
    wanted, reached = facts["margin"], [n for n, row in facts["power"].items() if row["typical"] <= facts["margin"]]
    enough = f"takes {reached[0]} seeds" if reached else "is out of reach with any of these numbers of seeds"
    return [*lines, "", f"A difference of {100 * wanted:g} points in the median comparison {enough}."]


def _explained(facts: Mapping[str, Any]) -> list[str]:
    lines = [
        f"Means over the tested utterances of each class, and the surest right and wrong answers (seed "
        f"{facts['seeds'][0]}). Columns: docs/methods.md.",
    ]
    lines += [part for name in facts["explained"] for part in ("", f"![{escape(name)}]({name}.svg)")]
    plain = [escape(name) for name in facts["variants"] if name not in facts["explained"]]
    says = f"One modality and no weights, so that there is nothing to show: {', '.join(plain)}."
    return [*lines, "", says] if plain else lines


def _ranks(facts: Mapping[str, Any]) -> list[str]:
    ranks = facts["ranks"]
    if len(facts["seeds"]) == 1:
        return ["One seed gives one order."]
    lines = [
        f"Kendall's W is {ranks['kendall_w']:.2f}: 1 if every seed gives the same order, about "
        f"{1 / len(facts['seeds']):.2f} if the orders have nothing in common.",
        "",
        "| variant | mean rank | best | worst |",
        "|---|--:|--:|--:|",
    ]
    for name, row in sorted(ranks["variants"].items(), key=lambda item: (item[1]["mean"], item[0])):
        lines.append(f"| {escape(name)} | {row['mean']:.1f} | {row['best']:g} | {row['worst']:g} |")
    return lines
