"""Measures staging of one whole session with IEMOCAP's true structure, of parts of it, and after one changed dialogue.

    python -m bench.scale --table TABLE [--session Ses01] [--detector yunet] [--stride 12] [--counts 1,7,14]
    python -m bench.scale --table TABLE --joined      # the same speech in one dialogue of hours, to measure memory

TABLE has one utterance per row with columns utterance, label, start_s and end_s, tab-separated, in IEMOCAP's names. All
dialogues of the session are drawn at their true times, with sound and picture of both speakers, and staged as a user
would; then the first few of them alone; then all again after one video has changed. The times for IEMOCAP and for
10,000 hours are extrapolated from the session's figures.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.staging import CORPUS, ROI, Chosen, project, shards, verb
from foalnet.core.files import read_json

IEMOCAP_VIDEO_H = 11.40
LARGE_H = 10_000.0
STAGES = ("inventory", "manifest", "shards")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cost of staging some dialogues: wall seconds of each verb, and MiB of the largest process."""

    dialogues: int
    video_s: float
    frames: int
    wall_s: dict[str, float]
    peak_mib: float

    @property
    def total_s(self) -> float:
        """Wall seconds of all verbs."""
        return sum(self.wall_s.values())


def session_of(table: Path, session: str) -> Chosen:
    """Return every dialogue of a session (SystemExit where there is none)."""
    with table.open(newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["utterance"].startswith(session)]
    if not rows:
        raise SystemExit(f"{table} has no utterance whose name begins with {session}")
    names = sorted({row["utterance"].rsplit("_", 1)[0] for row in rows})
    return Chosen(
        rows=tuple(rows),
        names=tuple(names),
        video_s=sum(video_s(rows, name) for name in names),
        speech_s=sum(float(row["end_s"]) - float(row["start_s"]) for row in rows),
    )


def joined(chosen: Chosen) -> Chosen:
    """Return the session's speech as one dialogue, its dialogues one after the other."""
    rows, counts, begin_s = [], {"F": 0, "M": 0}, 0.0
    name = chosen.names[0]
    for dialogue in chosen.names:
        for row in (row for row in chosen.rows if row["utterance"].rsplit("_", 1)[0] == dialogue):
            who = row["utterance"].rsplit("_", 1)[1][0]
            times = {key: f"{begin_s + float(row[key]):.4f}" for key in ("start_s", "end_s")}
            rows.append({**row, **times, "utterance": f"{name}_{who}{counts[who]:03d}"})
            counts[who] += 1
        begin_s += video_s(chosen.rows, dialogue)
    return Chosen(rows=tuple(rows), names=(name,), video_s=begin_s, speech_s=chosen.speech_s)


def video_s(rows: Sequence[dict[str, str]], dialogue: str) -> float:
    """Return the end of a dialogue's last utterance in seconds from the start of its video."""
    return max(float(row["end_s"]) for row in rows if row["utterance"].rsplit("_", 1)[0] == dialogue)


def part_of(folder: Path, source: Path, chosen: Chosen, count: int) -> Path:
    """Return a new project with links to the files of a drawn corpus' first dialogues."""
    root, others = folder / "corpus", set(chosen.names[count:])
    for path in sorted(source.rglob("*")):
        place = path.relative_to(source)
        # One name may be a prefix of another.
        owner = max((name for name in chosen.names if name in str(place)), key=len, default="")
        if path.is_file() and owner not in others:
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            os.link(path, root / place)
    (folder / "params.yaml").write_bytes((source.parent / "params.yaml").read_bytes())
    return root


def cost_of(folder: Path, root: Path, chosen: Chosen, count: int, workers: int) -> Cost:
    """Run the verbs from the corpus' files to the shards; return their cost."""
    wall_s, peaks = {}, []
    for step in STAGES:
        wall_s[step], peak_mib = verb(folder, step, CORPUS, workers=workers, root=root)
        peaks.append(peak_mib)
    account = read_json(folder / "reports" / CORPUS / "staging.json")
    assert account["dialogues"] == count, account["dialogues"]
    return Cost(
        dialogues=count,
        video_s=sum(video_s(chosen.rows, name) for name in chosen.names[:count]),
        frames=int(account["frames"]["total"]),
        wall_s=wall_s,
        peak_mib=max(peaks),
    )


def changed(root: Path, chosen: Chosen) -> str:
    """Append bytes that no frame needs to the video of the middle dialogue; return the dialogue's name."""
    name = chosen.names[len(chosen.names) // 2]
    for path in root.rglob(f"{name}.avi"):
        with path.open("ab") as file:
            file.write(bytes(4096))
    return name


def tree_bytes(root: Path, suffix: str) -> int:
    """Return the total size of all files with a suffix."""
    return sum(path.stat().st_size for path in root.rglob(f"*{suffix}"))


def print_session(cost: Cost, root: Path, folder: Path, workers: int) -> None:
    """Print the cost of the whole session, and its extrapolation."""
    hours = cost.video_s / 3600
    shards_bytes = tree_bytes(folder / "data", ".tar")
    print(
        f"staged in {cost.total_s:.1f} s ({', '.join(f'{step} {s:.1f}' for step, s in cost.wall_s.items())}): "
        f"{cost.frames} frames cut, {cost.frames / cost.total_s:.0f} a second, {cost.video_s / cost.total_s:.0f} x "
        f"real time; largest process {cost.peak_mib:.0f} MiB"
    )
    sizes = {"AVI": tree_bytes(root, ".avi"), "WAV": tree_bytes(root, ".wav"), "shards": shards_bytes}
    print("bytes an hour of video: " + ", ".join(f"{what} {size / hours / 1e9:.2f} GB" for what, size in sizes.items()))
    for what, of_h in (("IEMOCAP", IEMOCAP_VIDEO_H), ("a corpus of 10,000 hours", LARGE_H)):
        wall_h = cost.total_s / cost.video_s * of_h
        print(
            f"{what}, {of_h:,.1f} h of video, at this rate: {wall_h:,.2f} h on {workers} cores "
            f"({wall_h * workers:,.1f} core hours), {shards_bytes / hours * of_h / 1e12:.3f} TB of shards"
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Draw, stage, stage parts, change one, stage again; print."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__.split("\n")[0])
    parser.add_argument("--table", type=Path, required=True, help="IEMOCAP's utterances, tab-separated")
    parser.add_argument("--session", default="Ses01")
    parser.add_argument("--detector", default="yunet")
    parser.add_argument("--stride", type=int, default=12, help="the detector looks at every n-th frame")
    parser.add_argument("--counts", default="1,7,14", help="so many dialogues by themselves")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--joined", action="store_true", help="all speech in one dialogue, and nothing but that")
    args = parser.parse_args(argv)
    chosen = session_of(args.table, args.session)
    chosen = joined(chosen) if args.joined else chosen
    with tempfile.TemporaryDirectory(prefix="foalnet-bench-") as name:
        whole = Path(name) / "whole"
        whole.mkdir()
        root = project(whole, chosen, args.workers)
        looks = {"detector": args.detector, "stride": args.stride, "roi": ROI.get(args.detector, 0.0)}
        shards(whole, looks)
        print(
            f"{args.session}: {len(chosen.names)} dialogues, {chosen.video_s / 3600:.2f} h of video, "
            f"{len(chosen.rows)} utterances; {args.detector}, stride {args.stride}, {args.workers} workers"
        )
        full = cost_of(whole, root, chosen, len(chosen.names), args.workers)
        print_session(full, root, whole, args.workers)
        if args.joined:
            return
        parts = []
        for count in (int(count) for count in args.counts.split(",")):
            folder = Path(name) / f"first{count}"
            folder.mkdir()
            part_root = part_of(folder, root, chosen, count)
            parts.append(cost_of(folder, part_root, chosen, count, args.workers))
        print("dialogues  video s  wall s  s per 100 s of video  MiB")
        for cost in (*parts, full):
            print(
                f"{cost.dialogues:>9}{cost.video_s:>9.0f}{cost.total_s:>8.1f}"
                f"{100 * cost.total_s / cost.video_s:>22.2f}{cost.peak_mib:>5.0f}"
            )
        again = cost_of(whole, root, chosen, len(chosen.names), args.workers)
        which = changed(root, chosen)
        once_more = cost_of(whole, root, chosen, len(chosen.names), args.workers)
        alone_s = read_json(whole / "work" / "runs" / f"shards-{CORPUS}.json")["dialogues"][which]
        print(
            f"again, nothing changed: {again.total_s:.1f} s; the video of {which} changed "
            f"({video_s(chosen.rows, which):.0f} s): {once_more.total_s:.1f} s, of which {alone_s:.1f} s the dialogue"
        )


if __name__ == "__main__":
    main()
