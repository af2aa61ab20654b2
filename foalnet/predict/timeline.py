"""Shows predictions over time as one offline HTML page: inline SVG, no script, every text escaped.

The page is written clip by clip from the rows of `foalnet predict --window`. It is well-formed XML, too.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

from foalnet.core.errors import printable
from foalnet.core.files import publishing

Row = Mapping[str, Any]
Rows = Iterator[tuple[dict[str, Any], int]]
# White text on a colour, and a colour on white, have a contrast of at least 4.5.
COLOURS = ("#0b5cad", "#a63c06", "#1a7344", "#7a3ea1", "#7d6200", "#b0206a", "#00707f", "#555555")
INK, QUIET = "#1c1c1c", "#595959"
# SVG units, about pixels: the margins, the widest page, a window, a letter of a label.
LEFT, RIGHT, NARROWEST, WIDEST, WINDOW, LETTER = 34, 12, 640, 30_000, 26, 6.6
# The rows of a figure: title, height.
BANDS, STRIP, SHARE, PLACE = 96, 22, 36, 64
TITLE, GAP = 16, 12
NOTES = 12
# Lines of the face: key of the row, its meaning, colour, dashes.
LINES = (
    ("x", "middle, 0 left to 1 right", "#0b5cad", ""),
    ("y", "middle, 0 bottom to 1 top", "#a63c06", "7 3"),
    ("height", "height", "#1a7344", "2 3"),
)
STYLE = f"""
body {{ margin: 0 auto; max-width: 70rem; padding: 1rem; font: 1rem/1.45 system-ui, sans-serif; color: {INK};
  background: #fff; }}
h1 {{ font-size: 1.4rem; }} h2 {{ font-size: 1.15rem; overflow-wrap: anywhere; }} h3 {{ font-size: 1rem; }}
li, p {{ overflow-wrap: anywhere; }}
.scroll {{ overflow-x: auto; border: 1px solid #8a8a8a; }}
.scroll svg {{ display: block; font: 11px system-ui, sans-serif; }}
.key {{ list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1rem; }}
.key i {{ display: inline-block; width: .8rem; height: .8rem; margin-right: .3rem; }}
.error {{ border-left: 4px solid #a63c06; padding-left: .6rem; }}
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"


def head(title: str, policy: str = f"{POLICY}; form-action 'none'") -> str:
    """Return a page up to the content of its body."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}"/>\n'
        '<meta name="referrer" content="no-referrer"/>\n'
        f"<title>{text_of(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{text_of(title)}</h1>\n"
    )


TAIL = "</body>\n</html>\n"


@contextmanager
def writing(path: Path) -> Iterator[Callable[[Rows], Rows]]:
    """Yield a function that passes on rows of predictions and writes them to the page `path`, clip by clip.

    The page is complete, and in its place, at the end of the context. MachineError (exit 4) if it cannot be written.
    """
    with publishing(path) as temp, temp.open("w", encoding="utf-8") as page:
        page.write(head("Emotion and face over time"))

        def passing(rows: Rows) -> Rows:
            for clip, own in itertools.groupby(rows, key=lambda pair: pair[0]["clip"]):
                shown = []
                for row, code in own:
                    shown.append(row)
                    yield row, code
                page.write(section(clip, shown))

        yield passing
        page.write(TAIL)


def text_of(text: object) -> str:
    """Return text for HTML: control characters as escapes, no markup."""
    return escape(printable(str(text)))


def section(clip: str, rows: Sequence[Row]) -> str:
    """Return a clip as HTML: a figure for each person, with notes; errors as text."""
    parts = [f"<section>\n<h2>{text_of(clip)}</h2>\n"]
    sides = dict.fromkeys(row["side"] for row in rows if "side" in row)
    for side in sides:
        own = sorted((row for row in rows if row.get("side") == side), key=lambda row: row["start_s"])
        parts += [f"<h3>Person: {text_of(side)}</h3>\n"] if len(sides) > 1 else []
        parts += [figure(own), notes(own)]
    parts += [
        f'<p class="error">{text_of(row["error"]["what"])} Next: {text_of(row["error"]["next"])}.</p>\n'
        for row in rows
        if "side" not in row
    ]
    return "".join([*parts, "</section>\n"])


def notes(rows: Sequence[Row]) -> str:
    """Return the commonest notes of one person's windows, with the number of windows that have each."""
    counts = Counter(note for row in rows for note in said(row)).most_common()
    items = [f"<li>{text_of(note)} ({count} of {len(rows)} windows)</li>\n" for note, count in counts[:NOTES]]
    items += [f"<li>{len(counts) - NOTES} further notes in the rows</li>\n"] if len(counts) > NOTES else []
    return f"<ul>\n{''.join(items)}</ul>\n" if items else ""


def said(row: Row) -> list[str]:
    """Return the notes of a window; of one without a prediction why."""
    return [f"no prediction: {row['error']['what']}"] if "error" in row else list(row["notes"])


def cells(rows: Sequence[Row]) -> list[tuple[float, float]]:
    """Return the part of the time axis that shows each window: up to the middle between its own and the next middle.

    >>> cells([{"start_s": 0.0, "end_s": 4.0}, {"start_s": 2.0, "end_s": 6.0}])
    [(0.0, 3.0), (3.0, 6.0)]
    """
    middles = [(row["start_s"] + row["end_s"]) / 2 for row in rows]
    between = [(one + other) / 2 for one, other in itertools.pairwise(middles)]
    edges = zip(rows, [-math.inf, *between], [*between, math.inf], strict=True)
    return [(max(row["start_s"], low), min(row["end_s"], high)) for row, low, high in edges]


def figure(rows: Sequence[Row]) -> str:
    """Return the windows of one person as a legend and an SVG."""
    classes = list(next((row["probabilities"] for row in rows if "probabilities" in row), ()))
    colours = dict(zip(classes, itertools.cycle(COLOURS), strict=False))
    begin_s, end_s = rows[0]["start_s"], max(row["end_s"] for row in rows)
    width = min(WIDEST, max(NARROWEST, LEFT + RIGHT + WINDOW * len(rows)))
    scale = (width - LEFT - RIGHT) / (end_s - begin_s)
    spans = [(LEFT + (low - begin_s) * scale, LEFT + (high - begin_s) * scale) for low, high in cells(rows)]
    top, body = 0.0, []
    parts: list[tuple[str, int, Callable[[float], str]]] = [
        ("Probability of each class", BANDS, lambda y: bands(rows, spans, colours, y)),
        ("Likeliest class", STRIP, lambda y: strip(rows, spans, colours, y)),
        ("Share of frames with a face", SHARE, lambda y: shares(rows, spans, y)),
        ("Face in the picture", PLACE, lambda y: places(rows, spans, y)),
    ]
    for title, height, draw in parts:
        body.append(f'<text x="{LEFT}" y="{top + 12:g}" fill="{INK}">{title}</text>\n')
        body.append(draw(top + TITLE))
        if height != STRIP:
            body += [label(LEFT - 4, top + TITLE + place, mark, "end") for place, mark in ((9, "1"), (height, "0"))]
        top += TITLE + height + GAP
    body.append(axis(begin_s, end_s, scale, top))
    says = f"Windows from {clock(begin_s)} to {clock(end_s)}: class probabilities, likeliest class, face"
    return (
        f'{legend(colours)}<div class="scroll" tabindex="0">\n<svg xmlns="http://www.w3.org/2000/svg" role="img" '
        f'aria-label="{says}" width="{width}" height="{top + 24:g}" viewBox="0 0 {width} {top + 24:g}">\n'
        f"{''.join(body)}</svg>\n</div>\n"
    )


def legend(colours: Mapping[str, str]) -> str:
    """Return the key: classes in the order of the bands from above, and the lines of the face."""
    items = [f'<li><i style="background:{colour}"></i>{text_of(name)}</li>\n' for name, colour in colours.items()]
    for _, name, colour, dashes in LINES:
        line = f'<line x1="0" y1="5" x2="28" y2="5" {stroke(colour, dashes)}/>'
        items.append(f'<li><svg width="28" height="10" aria-hidden="true">{line}</svg> face: {name}</li>\n')
    items.append("<li>× no prediction, or no face</li>\n")
    return f'<ul class="key">\n{"".join(items)}</ul>\n'


def bands(rows: Sequence[Row], spans: Sequence[tuple[float, float]], colours: Mapping[str, str], y: float) -> str:
    """Return the probabilities of each window, stacked in class order from above."""
    out = []
    for row, (left, right) in zip(rows, spans, strict=True):
        if "error" in row:
            out.append(gap(left, right, y, BANDS, describe(row)))
            continue
        under = y
        for name, probability in row["probabilities"].items():
            height = BANDS * probability
            title = f"{span(row)}: {name} {probability:.2f}"
            out.append(box(left, right, under, height, colours[name], title))
            under += height
    return "".join(out)


def strip(rows: Sequence[Row], spans: Sequence[tuple[float, float]], colours: Mapping[str, str], y: float) -> str:
    """Return the likeliest class of each window, equal neighbours together, with as much of its name as fits."""
    out = []
    together = itertools.groupby(zip(rows, spans, strict=True), key=lambda pair: pair[0].get("label"))
    for name, group in together:
        own = list(group)
        left, right = own[0][1][0], own[-1][1][1]
        first, last = own[0][0], own[-1][0]
        when = f"{clock(first['start_s'])} to {clock(last['end_s'])}"
        if name is None:
            out.append(gap(left, right, y, STRIP, f"{when}: no prediction"))
            continue
        out.append(box(left, right, y, STRIP, colours[name], f"{when}: {name}"))
        if shown := printable(name)[: max(0, int((right - left - 4) / LETTER))]:
            out.append(label((left + right) / 2, y + 15, shown, "middle", "#fff"))
    return "".join(out)


def shares(rows: Sequence[Row], spans: Sequence[tuple[float, float]], y: float) -> str:
    """Return the share of frames with a face of each window."""
    out = []
    for row, (left, right) in zip(rows, spans, strict=True):
        share = face_share(row)
        if not share:
            out.append(gap(left, right, y, SHARE, describe(row)))
        else:
            out.append(box(left, right, y + SHARE * (1 - share), SHARE * share, QUIET, describe(row)))
    return "".join(out)


def face_share(row: Row) -> float:
    """Return the share of a window's frames that have a face: detected, or bridged between two detections."""
    frames = row.get("frames") or {"total": 0}
    return (frames["detected"] + frames["bridged"]) / frames["total"] if frames["total"] else 0.0


def places(rows: Sequence[Row], spans: Sequence[tuple[float, float]], y: float) -> str:
    """Return lines of where the face is and how large, broken where there is none."""
    out = []
    for has_face, group in itertools.groupby(zip(rows, spans, strict=True), key=lambda pair: bool(pair[0].get("face"))):
        own = list(group)
        if not has_face:
            out.append(gap(own[0][1][0], own[-1][1][1], y, PLACE, "no face"))
            continue
        for key, name, colour, dashes in LINES:
            shares = [place_of(row, key) for row, _ in own]
            points = [
                (x, y + PLACE * (1 - share)) for share, (_, edges) in zip(shares, own, strict=True) for x in edges
            ]
            path = " ".join(f"{x:.1f},{at:.1f}" for x, at in points)
            values = ", ".join(f"{share:.2f}" for share in shares[:9]) + (" …" if len(shares) > 9 else "")
            title = f"<title>face, {name}: {values}</title>"
            out.append(f'<polyline points="{path}" fill="none" {stroke(colour, dashes)}>{title}</polyline>\n')
    return "".join(out)


def place_of(row: Row, key: str) -> float:
    """Return a share of LINES, within the picture; a face may be partly outside."""
    share = row["face"][key]
    return min(1.0, max(0.0, 1 - share if key == "y" else share))


def describe(row: Row) -> str:
    """Return a window's face, or why it has no prediction, as text."""
    if "error" in row:
        return f"{span(row)}: {said(row)[0]}"
    return f"{span(row)}: {100 * face_share(row):.0f} % of {row['frames']['total']} frames have a face"


def span(row: Row) -> str:
    """Return a window's start and end as text."""
    return f"{clock(row['start_s'])} to {clock(row['end_s'])}"


def clock(seconds: float) -> str:
    """Return a time of a clip as text.

    >>> clock(4.25), clock(75.0), clock(3675.5)
    ('4.25 s', '1:15', '1:01:15.5')
    """
    if seconds < 60:
        return f"{round(seconds, 2):g} s"
    minutes, rest = divmod(round(seconds, 2), 60)
    shown = f"{rest:05.2f}".rstrip("0").rstrip(".")
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{shown}" if hours else f"{minutes}:{shown}"


def axis(begin_s: float, end_s: float, scale: float, y: float) -> str:
    """Return the time axis, with a mark every 70 units or more."""
    steps = (each * 10**power for power in range(-2, 5) for each in (1, 2, 5))
    step_s = next(step for step in steps if step * scale >= 70)
    marks = range(math.ceil(begin_s / step_s - 1e-9), math.floor(end_s / step_s + 1e-9) + 1)
    out = [f'<line x1="{LEFT}" y1="{y:g}" x2="{LEFT + (end_s - begin_s) * scale:.1f}" y2="{y:g}" {stroke(INK)}/>\n']
    for mark in marks:
        x = LEFT + (mark * step_s - begin_s) * scale
        out.append(f'<line x1="{x:.1f}" y1="{y:g}" x2="{x:.1f}" y2="{y + 5:g}" {stroke(INK)}/>\n')
        out.append(label(x, y + 18, clock(mark * step_s), "middle"))
    return "".join(out)


def box(left: float, right: float, y: float, height: float, colour: str, title: str) -> str:
    """Return a filled rectangle with its value as title, and a white edge to its neighbours."""
    return (
        f'<rect x="{left:.1f}" y="{y:.1f}" width="{right - left:.1f}" height="{height:.1f}" fill="{colour}" '
        f'stroke="#fff" stroke-width="0.6"><title>{text_of(title)}</title></rect>\n'
    )


def gap(left: float, right: float, y: float, height: float, title: str) -> str:
    """Return an empty rectangle with a cross: no prediction, or no face."""
    return (
        f'<rect x="{left:.1f}" y="{y:.1f}" width="{right - left:.1f}" height="{height:.1f}" fill="#fff" '
        f"{stroke(QUIET, '3 3')}><title>{text_of(title)}</title></rect>\n"
        f"{label((left + right) / 2, y + height / 2 + 4, '×', 'middle')}"
    )


def label(x: float, y: float, text: str, anchor: str, colour: str = INK) -> str:
    """Return a text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{text_of(text)}</text>\n'


def stroke(colour: str, dashes: str = "") -> str:
    """Return the attributes of a line."""
    return f'stroke="{colour}" stroke-width="1.6"' + (f' stroke-dasharray="{dashes}"' if dashes else "")
