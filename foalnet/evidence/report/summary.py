"""Sections of page one: result, data, protocol, certainty. `losses` adds what was dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from foalnet.config.blocks import HALF
from foalnet.evidence.metrics import SHOWN
from foalnet.evidence.report import figures
from foalnet.evidence.report.aggregate import Comparison, Result, gap_row
from foalnet.evidence.report.gather import Facts
from foalnet.evidence.report.phrases import (
    VARIANTS,
    exact_bounds,
    few_clusters,
    fold_unit,
    frozen_text,
    hours,
    level,
    listed,
    number,
    percent,
    plural,
    span,
    undecided,
    verdict,
)
from foalnet.evidence.report.tables import compact, differences, scores
from foalnet.evidence.report.view import Block, Bullets, Note, Pairs, Paragraph, Section, Table, cells


def answer(facts: Facts, table: Sequence[Result], pairs: Sequence[Comparison]) -> tuple[str, ...]:
    """Return the result in two or three sentences, the first one by itself."""
    main = next((result for result in table if result.variant == "foal"), table[-1])
    speakers = len({row["speaker"] for row in facts.first.rows.values()})
    best = "" if main.best is None else f", and no method can expect more than {percent(main.best)} %"
    score = (
        f"Variant {main.variant} ({VARIANTS[main.variant]}) reaches {percent(main.ua.estimate)} % UA "
        f"({level(main.ua.level)} interval {span(main.ua)}) on {plural(main.n, 'utterance')} of "
        f"{plural(speakers, 'speaker')} that it never saw in training."
    )
    scale = f"Guessing gives {percent(1 / len(facts.classes))} %{best}."
    first = [pair for pair in pairs if pair.a == main.variant][:1]
    return score, " ".join([scale, *(verdict(pair.a, pair.b, pair.ua) for pair in first)])


def result(facts: Facts, table: Sequence[Result], metrics: Mapping[str, Any]) -> Section:
    """Return the headline table with its figure."""
    guess = 1 / len(facts.classes)
    seeds = table[0].seeds
    blocks: list[Block] = [
        compact(
            scores(metrics),
            caption=(
                f"Scores over all test utterances, with {level(table[0].ua.level)} intervals. "
                f"{'Seed' if len(seeds) == 1 else 'Mean of seeds'} {listed([str(seed) for seed in seeds])}."
            ),
        ),
        figures.scores(table, guess),
    ]
    blocks += [Paragraph(text=f"{row.variant}: {frozen_text(row.frozen)}.") for row in table if row.frozen]
    if facts.best_possible:
        blocks.append(Paragraph(text=_explain_best(facts.best_possible)))
    return Section(name="result", title="The result", blocks=tuple(blocks), part="answers")


def _explain_best(scores: Mapping[str, float]) -> str:
    """Return an explanation of the drawn corpus' best possible scores."""
    text = (
        "The best possible scores follow from the rule by which the corpus is drawn, not from a model: they are the "
        f"expected scores of an optimal decision from the sound alone ({percent(scores.get('sound'))} %), from the "
        f"picture alone ({percent(scores.get('picture'))} %) and from both together ({percent(scores.get('both'))} %)."
    )
    if "late_average" in scores:
        text += (
            " Two perfect single models whose probabilities are combined only at the end can expect "
            f"{percent(scores['late_average'])} %: a higher score needs real fusion."
        )
    return text + (
        " In a finite sample the shares of the kinds differ slightly from the rule, and a score can exceed its "
        "expected best by chance."
    )


def data(facts: Facts) -> Section:
    """Return which corpus, how much of it, and the classes."""
    rows = facts.first.rows.values()
    used = facts.used
    units = ["speaker", "session", "dialogue"] if facts.first.metrics["cluster"] == "dialogue" else ["speaker"]
    tiles = [(number(len(rows)), "utterances tested")]
    tiles += [(number(len({row[unit] for row in rows})), f"{unit}s") for unit in units]
    if used:
        tiles.append((hours(sum(row["end_s"] - row["start_s"] for row in used)), "of labelled speech"))
    tiles.append((number(len(facts.classes)), "classes"))
    blocks: list[Block] = [Paragraph(text=_origin(facts)), Pairs(items=tuple(tiles), tiles=True)]
    support = table_of_support(facts)
    blocks.append(support)
    blocks += [Note(text=gap) for gap in facts.gaps]
    return Section(name="data", title="Which data", blocks=tuple(blocks), part="answers")


def _origin(facts: Facts) -> str:
    params = facts.params
    if facts.drawn:
        return (
            f"Corpus “{params.corpus}”: drawn by a program and read by the “{params.reader}” reader. It shows no real "
            "person. It tests the whole pipeline and what fusion can gain; it says nothing about human emotion."
        )
    return (
        f"Corpus “{params.corpus}”, read by the “{params.reader}” reader from a copy on this machine. The page shows "
        "no face, plays no voice and quotes no transcript: they are personal data, and the corpus' licence governs "
        "them."
    )


def table_of_support(facts: Facts) -> Table:
    """Return the utterances per class, the raw labels merged into it, and the share of the largest class."""
    support = facts.first.metrics["pooled"]["support"]
    total = sum(support.values())
    rows = tuple(
        cells(
            [
                name,
                ", ".join(facts.params.manifest.classes.get(name, [])),
                number(support[name]),
                percent(support[name] / total),
            ]
        )
        for name in facts.classes
    )
    return Table(
        caption=(
            "Utterances per class. Always choosing the largest one would give its share as WA and "
            f"{percent(1 / len(facts.classes))} % as UA."
        ),
        head=("Class", "Raw labels", "Utterances", "Share %"),
        rows=rows,
        labels=2,
    )


def protocol(facts: Facts) -> Section:
    """Return how data were split, how epochs were chosen, what the scores mean."""
    metrics = facts.first.metrics
    unit = fold_unit(metrics["cluster"])
    count = len(facts.folds)
    return Section(
        name="protocol",
        title="Which protocol",
        part="answers",
        blocks=(
            Pairs(
                items=(
                    ("Protocol", str(metrics["protocol"])),
                    ("Selection", str(metrics["select"])),
                    ("Folds", f"{count}, each tested on one {unit}"),
                    ("Picture", _picture(facts)),
                )
            ),
            *_others(facts),
            Paragraph(
                text=(
                    f"Each fold tests on one {unit}, chooses its epoch on the next one (the dev part), and trains on "
                    f"the other {count - 2}. No speaker is in two of them, so every score is about unseen people. The "
                    "epoch is the first one with the best UA on the dev part; labels of the test part are not "
                    "available to training and are first read for the final scores. Every utterance is tested once."
                )
            ),
            Paragraph(
                text=(
                    f"{' '.join(metric.meaning for metric in SHOWN)} The headline pools the test utterances of all "
                    "folds; means over folds are further below. A class that a fold's test part lacks is left out of "
                    "that fold's means, and named."
                )
            ),
        ),
    )


def _picture(facts: Facts) -> str:
    """Return which picture the variants look at."""
    half = [variant for variant in facts.runs if variant.endswith(HALF)]
    return facts.params.train.picture + (f"; half for {listed(half)}" if half else "")


def _others(facts: Facts) -> list[Block]:
    """Return a pointer to the section with the same variants under other protocols."""
    if not facts.other_protocols:
        return []
    return [
        Paragraph(
            text=(
                f"Scores under {listed(list(facts.other_protocols))} are in the section “Under other protocols”. They "
                "are not part of the result above."
            )
        )
    ]


def certainty(facts: Facts, table: Sequence[Result], pairs: Sequence[Comparison]) -> Section:
    """Return paired differences, and how intervals and p values were computed."""
    blocks: list[Block] = []
    if pairs:
        blocks.append(Bullets(items=tuple(verdict(pair.a, pair.b, pair.ua) for pair in pairs)))
        caption = (
            "Paired differences in percentage points, on the same utterances, with intervals and two-sided p values."
        )
        rows = {f"{pair.a}_minus_{pair.b}": gap_row("ua", pair.ua) | gap_row("wa", pair.wa) for pair in pairs}
        both = compact(differences(rows, facts.params.report.level), caption=caption)
        blocks += [figures.differences(pairs), both]
    else:
        blocks.append(Note(text="No pair of variants named in report.compare was trained, so nothing is compared."))
    blocks += [Note(text=f"WA: {undecided(pair.a, pair.b)}.") for pair in pairs if pair.wa.disagree]
    if table[0].ua.warning:
        blocks.append(Note(text=few_clusters(table[0].ua.clusters, facts.first.metrics["cluster"])))
    blocks.append(Paragraph(text=_method(facts, table[0], bool(pairs))))
    return Section(name="certainty", title="How sure are we", blocks=tuple(blocks), part="answers")


def _method(facts: Facts, row: Result, compared: bool) -> str:
    """Return sentences on what the intervals cover and what they do not."""
    params = facts.params.report
    cluster = facts.first.metrics["cluster"]
    units = f"the {row.ua.clusters} {cluster}s"
    how = (
        f"are t intervals over the means of {units}"
        if row.ua.warning
        else f"come from resampling {units} with replacement {number(params.bootstrap)} times"
    )
    seeds = len(row.seeds)
    text = (
        f"Utterances of one {cluster} are alike, so the intervals {how}. They show how far the scores would change "
        f"with other {cluster}s of the same kind. "
    )
    text += (
        "They do not include the spread between training runs: only one seed was trained."
        if seeds == 1
        else f"Correctness is averaged over {seeds} seeds before that."
    )
    text += f" {exact_bounds(cluster)}"
    if compared:
        text += (
            " The interval of a difference shows how large it may be, its p value how often chance alone would produce "
            "one as large. They are two methods and can disagree close to a boundary; a variant is called better only "
            "where both indicate it."
            f" The p values come from flipping the sign of the difference of whole {cluster}s at random "
            f"({number(params.permutations)} times, or all patterns where there are fewer). They are not corrected "
            "for the number of comparisons."
        )
    return text
