"""Defines the tables of results, from the rows of metrics.json: for page, Markdown, terminal and Prefect's artifacts.

`compact` lays a table out for the page and its Markdown (an interval under its score), `wide` for terminal and Prefect
(an interval in a column of its own).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from foalnet.core.markdown import escape, row
from foalnet.evidence.metrics import METRICS, shown_in
from foalnet.evidence.report.phrases import (
    DASH,
    KINDS,
    STAMPS,
    VARIANTS,
    described,
    effect_text,
    effect_titles,
    level,
    number,
    p_value_text,
    percent,
    points,
)

# JSON sorts variants by name; tables list the single modalities first.
ORDER = list(VARIANTS)
Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """A share or a difference of shares, with its bounds where they are known, and the best that can be expected."""

    estimate: float
    low: float | None = None
    high: float | None = None
    best: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """A name and, for the page, what it means."""

    text: str
    says: str = ""


Value = Name | Score | int | None
Kind = Literal["name", "count", "percent", "points", "p", "effect"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """Title and unit of a column; `strong` marks the figures to read first on the page, `shaded` fills cells by share.

    `short` replaces the title in a wide table, where `bounds` gives the interval of a score a column of its own.
    """

    title: str
    short: str = ""
    kind: Kind = "percent"
    bounds: bool = False
    strong: bool = False
    shaded: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table of results; None is an unknown value. `level` is that of all its intervals."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    level: float

    def __bool__(self) -> bool:
        """Whether it has rows."""
        return bool(self.rows)


def score(row: Row, key: str, *, best: float | None = None) -> Score:
    """Return a score under metrics.json's keys: ua, ua_low, ua_high."""
    return Score(estimate=row[key], low=row.get(f"{key}_low"), high=row.get(f"{key}_high"), best=best)


def in_order(variants: Iterable[str]) -> list[str]:
    """Return variants in the order of tables: those of the paper, then those of other methods."""
    return sorted(variants, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))


def scores(metrics: Row) -> Table:
    """Return every variant with the metrics that METRICS shows."""
    variants = metrics["variants"]
    with_best = any("ua_best_possible" in row for row in variants.values())
    first = next(iter(variants.values()))
    shown = shown_in(first)
    columns = [
        Column(title=f"{metric.name} %", bounds=f"{metric.key}_low" in first, strong=metric is METRICS[0])
        for metric in shown
    ]
    best = [Column(title="best possible UA %")] if with_best else []
    return Table(
        columns=(Column(title="variant", kind="name"), *columns, *best),
        rows=tuple(
            (
                Name(text=name, says=described(name)),
                *(score(variants[name], metric.key) for metric in shown),
                *([score(row, "ua_best_possible") if "ua_best_possible" in row else None] if with_best else []),
            )
            for name in in_order(variants)
            for row in (variants[name],)
        ),
        level=metrics["level"],
    )


def differences(rows: Mapping[str, Row], share: float, *, columns: int = 7) -> Table:
    """Return paired differences of UA with their adjusted p values, and how far the variants disagree.

    `columns`: how many are shown, from the left.
    """
    shown = (
        Column(title="comparison", kind="name"),
        Column(title="UA", kind="points", bounds=True, strong=True),
        Column(title="p, Holm", kind="p"),
        Column(title="verdict", kind="name"),
        Column(title="detectable"),
        Column(title="d_z", kind="effect"),
        Column(title="correct in one only", kind="name"),
    )
    return Table(
        columns=shown[:columns],
        rows=tuple(
            (
                Name(text=pair.replace("_minus_", " minus ")),
                score(row, "ua"),
                Score(estimate=row["ua_p"]),
                Name(text=row["verdict"]),
                *(None if row[key] is None else Score(estimate=row[key]) for key in ("ua_detectable", "ua_d_z")),
                Name(text=f"{number(row['only_a'])} : {number(row['only_b'])}"),
            )[:columns]
            for pair, row in rows.items()
        ),
        level=share,
    )


def protocols(metrics: Row, key: str) -> Table:
    """Return one metric of every variant under each protocol, the optimistic one marked."""
    shown = [(name, metrics["protocols"][name]) for name in STAMPS if name in metrics["protocols"]]
    columns = [
        Column(
            title=f"{name} ({STAMPS[name]})",
            short=f"{name} (optimistic)" if protocol["optimistic"] else name,
            bounds=True,
            strong=name == metrics["protocol"],
        )
        for name, protocol in shown
    ]
    return Table(
        columns=(Column(title="variant", kind="name"), *columns),
        rows=tuple(
            (
                Name(text=variant),
                *(score(protocol["variants"][variant], key) if variant in protocol["variants"] else None
                  for _, protocol in shown),
            )
            for variant in in_order(metrics["gaps"])
        ),
        level=metrics["level"],
    )  # fmt: skip


def effects(metrics: Row) -> Table:
    """Return what the gap between protocols consists of, by variant, in points of UA."""
    gaps = metrics["gaps"]
    titles = effect_titles(metrics["data"]["cluster"], metrics.get("named_split", {}).get("rule"))
    shown = [name for name in titles if any(name in row for row in gaps.values())]
    return Table(
        columns=(
            Column(title="variant", kind="name"),
            *(Column(title=titles[name], kind="points", bounds=True) for name in shown),
        ),
        rows=tuple(
            (
                Name(text=variant),
                *(score(gaps[variant][name], "ua") if name in gaps[variant] else None for name in shown),
            )
            for variant in in_order(gaps)
        ),
        level=metrics["level"],
    )


def kinds(average: Row, name: str, share: float) -> Table:
    """Return the share of correct utterances by kind, for the late average `name` and each variant."""
    first = (*average["of"], name)
    by_kind = {kind: average["kinds"][kind] for kind in KINDS if kind in average["kinds"]}
    right = next(iter(by_kind.values()))["right"]
    names = [*(each for each in first if each in right), *in_order(right.keys() - set(first))]
    return Table(
        columns=(
            Column(title="correct %, by kind", kind="name"),
            Column(title="utterances", kind="count"),
            *(Column(title=each, shaded=True) for each in names),
            Column(title="best possible %"),
        ),
        rows=tuple(
            (
                Name(text=kind, says=KINDS[kind]),
                on["n"],
                *(score(on["right"][each], "share", best=on["right"][each]["best_possible"]) for each in names),
                Score(estimate=max(on["right"][each]["best_possible"] for each in names)),
            )
            for kind, on in by_kind.items()
        ),
        level=share,
    )


def recalls(metrics: Row) -> Table:
    """Return the recall of each class by variant with its interval, and how many utterances the class has."""
    variants = metrics["variants"]
    names = in_order(variants)
    first = variants[names[0]]
    sizes = dict(zip(metrics["class_names"], (sum(line) // first["seeds"] for line in first["confusion"]), strict=True))
    return Table(
        columns=(
            Column(title="class", kind="name"),
            Column(title="utterances", kind="count"),
            *(Column(title=f"{name} %", bounds=True, shaded=True) for name in names),
        ),
        rows=tuple(
            (
                Name(text=each),
                size,
                *(
                    None if row["recall"][each] is None
                    else Score(estimate=row["recall"][each], low=row["recall_low"][each], high=row["recall_high"][each])
                    for row in (variants[name] for name in names)
                ),
            )
            for each, size in sizes.items()
        ),
        level=metrics["level"],
    )  # fmt: skip


def tall(table: Table, title: str) -> Table:
    """Return a table with a row per row and column: names and columns are joined, the figures are below `title`."""
    first, *rest = table.columns
    return Table(
        columns=(first, replace(rest[0], title=title)),
        rows=tuple(
            (Name(text=f"{name.text}: {column.title}"), value)
            for name, *values in table.rows
            for column, value in zip(rest, values, strict=True)
            if isinstance(name, Name) and value is not None
        ),
        level=table.level,
    )


def wide(table: Table) -> list[list[str]]:
    """Return head and rows as text, each interval in a column of its own."""
    bounds = f"{level(table.level)} interval"
    head = [
        text
        for column in table.columns
        for text in (column.short or column.title, *([bounds] if column.bounds else []))
    ]
    rows = [
        [
            text
            for value, column in zip(row, table.columns, strict=True)
            for text in (figure(value, column), *([edges(value, column)] if column.bounds else []))
        ]
        for row in table.rows
    ]
    return [head, *rows]


def figure(value: Value, column: Column) -> str:
    """Return a value as text."""
    if isinstance(value, Name):
        return value.text
    if isinstance(value, Score):
        show = {"points": points, "p": p_value_text, "effect": effect_text}.get(column.kind, percent)
        return show(value.estimate)
    return DASH if value is None else number(value)


def edges(value: Value, column: Column) -> str:
    """Return the bounds of a score as text: "66.9 to 77.0"; "" where there are none."""
    if not isinstance(value, Score) or value.low is None or value.high is None:
        return ""
    show = points if column.kind == "points" else percent
    return f"{show(value.low)} to {show(value.high)}"


def compact(table: Table, shade: Callable[[float], str]) -> list[str]:
    """Return a table's lines as Markdown for page and report.md: an interval, or a meaning, follows in brackets.

    `shade` returns what marks a cell to be filled by a share.
    """
    head = [column.title for column in table.columns]
    lines = [
        row([escape(head[0][0].upper() + head[0][1:]), *map(escape, head[1:])]),
        row("---" if column.kind == "name" else "---:" for column in table.columns),
    ]
    return lines + [
        row(_cell(value, column, shade) for value, column in zip(values, table.columns, strict=True))
        for values in table.rows
    ]


def _cell(value: Value, column: Column, shade: Callable[[float], str]) -> str:
    text, small = figure(value, column).removeprefix("p ").removeprefix("= "), ""
    if isinstance(value, Name):
        small = value.says
    elif isinstance(value, Score):
        bounds = edges(value, column)
        small = bounds if column.kind == "points" else bounds.replace(" to ", DASH)
        small = small if value.best is None else f"best {percent(value.best)}"
    text = f"**{escape(text)}**" if column.strong and value is not None else escape(text)
    filled = shade(value.estimate) if column.shaded and isinstance(value, Score) else ""
    return filled + text + (f" *({escape(small)})*" if small else "")
