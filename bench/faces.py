"""Measures face detectors: on drawn videos by condition, on real heads and pictures, and the jitter of still faces.

    python -m bench.faces [--detectors haar,blazeface,yunet,sfd] [--sessions 5] [--utterances 2] [--stride 6] [--roi 0]

Videos are drawn or composed, encoded like IEMOCAP's, and staged by the code that stages a corpus, with the params'
defaults except for the options above. The same command and versions give the same figures. Real pictures are read from
the folder that FOALNET_SHARED_DATA names; without it the output says so. Weight files are looked for there too.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench import drawn_videos, faces_real
from foalnet.clips.pictures import cut_pictures
from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.core.errors import MachineError
from foalnet.core.records import Box, FaceTrack
from foalnet.faces import DETECTORS, Detector, detect_all, get_detector, window
from foalnet.media import probe_times

# A box counts as the face if its intersection over union with the true box is at least this.
SAME = 0.5
FIXED = "fixed"
TIMEOUT_S = 600.0


@dataclass(kw_only=True)
class Tally:
    """Results of one detector on one condition.

    `overlaps`: per box on a visible face, the overlap with the true box; `right`: per box, whether it is on the
    speaker; `sides`: per utterance, whether all boxes are in the speaker's half; `jitter_px`: per utterance, the
    standard deviation of the crop's middle.
    """

    visible: int = 0
    looks: int = 0
    hits: int = 0
    detected: int = 0
    bridged: int = 0
    away: int = 0
    away_kept: int = 0
    overlaps: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    sides: list[bool] = field(default_factory=list)
    jitter_px: list[float] = field(default_factory=list)


def overlap(one: Box, other: Box) -> float:
    """Return the intersection over union of two boxes."""
    width = max(0.0, min(one.right, other.right) - max(one.left, other.left))
    height = max(0.0, min(one.bottom, other.bottom) - max(one.top, other.top))
    areas = [(box.right - box.left) * (box.bottom - box.top) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


def measure(made: Iterable[drawn_videos.DrawnVideo], detector: Detector, params: Shards) -> Tally:
    """Stage videos with a detector and compare every frame's box with the true one."""
    tally = Tally()
    for video in made:
        pictures = cut_pictures(video.path, video.utterances, params=params, detector=detector, timeout_s=TIMEOUT_S)
        width_px = probe_times(video.path).width_px
        for u in video.utterances:
            left, top, right, bottom = pictures[u.key].area
            _count(tally, pictures[u.key].track, video, u.key, params)
            boxes = [box for box in pictures[u.key].track.boxes if box is not None]
            middles = [(box.left + box.right) / 2 for box in boxes]
            first, last = {"left": (0, width_px / 2), "right": (width_px / 2, width_px)}[u.side]
            tally.sides.append(all(first <= x < last for x in middles) and (left, right) == (first, last))
            cut = [
                window(_moved(box, -left, -top), width_px=right - left, height_px=bottom - top, margin=params.margin)
                for box in boxes
            ]
            if cut:
                middle_K2 = np.array([(x + side / 2, y + side / 2) for x, y, side in cut])
                tally.jitter_px.append(float(middle_K2.std(axis=0).max()))
    return tally


def _count(tally: Tally, track: FaceTrack, video: drawn_videos.DrawnVideo, key: str, params: Shards) -> None:
    """Add one utterance's frames to the tally."""
    last = len(track.boxes) - 1
    for slot, (box, source, time_s) in enumerate(zip(track.boxes, track.sources, track.times_s, strict=True)):
        frame = drawn_videos.frame_at(time_s)
        true = video.boxes[key][frame]
        shared = overlap(box, true) if box else 0.0
        if box:
            tally.right.append(shared > max([overlap(box, other) for other in video.others[key][frame]], default=0.0))
        if not video.visible[key][frame]:
            tally.away += 1
            tally.away_kept += shared >= SAME
            continue
        tally.visible += 1
        if slot % params.stride == 0 or slot == last:
            tally.looks += 1
            tally.hits += source == "detected" and shared >= SAME
        if box:
            tally.overlaps.append(shared)
            tally.detected += source == "detected" and shared >= SAME
            tally.bridged += source == "bridged" and shared >= SAME


def _moved(box: Box, x: float, y: float) -> Box:
    return Box(left=box.left + x, top=box.top + y, right=box.right + x, bottom=box.bottom + y)


def detectors(names: Sequence[str], settings: Settings) -> tuple[dict[str, Detector], list[str]]:
    """Return the detectors that can be built on this machine, and a line on each that cannot."""
    built, lacking = {}, []
    for name in names:
        try:
            built[name] = get_detector(Shards(detector=name), settings)
        except MachineError as error:
            lacking.append(f"{name}: not measured, {error.file} is not here (`foalnet weights fetch {name}`)")
    return built, lacking


HEAD = (
    f"{'detector':<14}{'scene':<16}{'frames':>7}{'IoU':>6}{'found %':>9}{'kept %':>8}"
    f"{'= detected':>11}{'+ bridged':>10}{'away kept %':>12}{'speaker %':>11}{'side %':>8}"
)


def row(name: str, condition: str, tally: Tally) -> str:
    """Return one line of the table of drawn videos."""
    away = share(tally.away_kept, tally.away) if tally.away else "-"
    middle = f"{np.median(tally.overlaps):.2f}" if tally.overlaps else "-"
    return (
        f"{name:<14}{condition:<16}{tally.visible:>7}{middle:>6}{share(tally.hits, tally.looks):>9}"
        f"{share(tally.detected + tally.bridged, tally.visible):>8}{share(tally.detected, tally.visible):>11}"
        f"{share(tally.bridged, tally.visible):>10}{away:>12}{share(sum(tally.right), len(tally.right)):>11}"
        f"{share(sum(tally.sides), len(tally.sides)):>8}"
    )


def share(part: int, whole: int) -> str:
    """Return a share in percent."""
    return f"{100 * part / whole:.1f}" if whole else "-"


def recall(pictures: Sequence[faces_real.Picture], detector: Detector) -> tuple[int, int, int]:
    """Return the number of faces in the pictures, of faces detected, and of boxes on no face."""
    hits, wrong, there = 0, 0, 0
    answers = detect_all(detector, [picture.pixels_HWC for picture in pictures]).boxes
    for picture, boxes in zip(pictures, answers, strict=True):
        hit = {index for index, face in enumerate(picture.faces) if any(overlap(face, box) >= SAME for box in boxes)}
        there, hits = there + len(picture.faces), hits + len(hit)
        wrong += sum(all(overlap(face, box) < SAME for face in picture.faces) for box in boxes)
    return there, hits, wrong


def _with(base: Shards, detector: str) -> Shards:
    return base.model_copy(update={"detector": detector})


def draw_videos(
    folder: Path, wanted: Sequence[str], sessions: int, utterances: int
) -> dict[str, list[drawn_videos.DrawnVideo]]:
    """Return condition -> drawn videos, one per session."""
    return {
        condition.name: [
            drawn_videos.draw_video(condition, folder, session=session, utterances=utterances)
            for session in range(1, sessions + 1)
        ]
        for condition in drawn_videos.CONDITIONS
        if condition.name in wanted
    }


def bounds(made: dict[str, list[drawn_videos.DrawnVideo]], detector: Detector, params: Shards) -> str:
    """Return the worst condition's results on drawn videos: median IoU, and % of visible faces kept."""
    tallies = {name: measure(videos, detector, params) for name, videos in made.items()}
    iou = {name: float(np.median(tally.overlaps)) if tally.overlaps else 0.0 for name, tally in tallies.items()}
    kept = {name: (tally.detected + tally.bridged) / tally.visible for name, tally in tallies.items()}
    far, lost = min(iou, key=lambda name: iou[name]), min(kept, key=lambda name: kept[name])
    sides = all(all(tally.sides) for tally in tallies.values())
    return (
        f"median IoU {iou[far]:.2f} ({far}), kept {100 * kept[lost]:.1f} % ({lost}), "
        f"sides {'all right' if sides else 'not all right'}"
    )


def drawn(made: dict[str, list[drawn_videos.DrawnVideo]], built: dict[str, Detector], base: Shards) -> None:
    """Print the table of the drawn videos."""
    print("drawn scenes")
    print(HEAD)
    for condition, of_it in made.items():
        for name, detector in built.items():
            print(row(name, condition, measure(of_it, detector, _with(base, name))), flush=True)


def real(built: dict[str, Detector], folder: Path, data: Path, base: Shards) -> None:
    """Print the tables of the real heads and pictures."""
    print("\ntwo real heads in one film")
    print(HEAD)
    for face_px in faces_real.HEAD_SIZES_PX:
        made = [faces_real.two_heads(data, pair, folder, face_px=face_px) for pair in faces_real.PAIRS]
        for name, detector in built.items():
            print(row(name, f"{face_px} px", measure(made, detector, _with(base, name))), flush=True)
    print("\nreal pictures, each detected alone")
    print(f"{'detector':<14}{'pictures':<18}{'number':>7}{'faces':>7}{'found':>7}{'found %':>9}{'false boxes':>13}")
    for group, pictures in faces_real.groups(data):
        for name, detector in built.items():
            there, hits, wrong = recall(pictures, detector)
            print(
                f"{name:<14}{group:<18}{len(pictures):>7}{there:>7}{hits:>7}{share(hits, there):>9}{wrong:>13}",
                flush=True,
            )


def jitter(
    built: dict[str, Detector], folder: Path, data: Path | None, sessions: int, utterances: int, base: Shards
) -> None:
    """Print how much the middle of a crop moves on still faces."""
    print("\nstill faces under sensor noise, recompressed: standard deviation of the crop's middle, pixels")
    print(f"{'detector':<14}{'faces':<16}{'utterances':>11}{'median':>8}{'largest':>9}")
    made = {
        "drawn": [
            drawn_videos.draw_video(drawn_videos.STILL, folder, session=session, utterances=utterances)
            for session in range(1, sessions + 1)
        ]
    }
    if data:
        made["real, 40 px"] = [
            faces_real.two_heads(data, pair, folder, face_px=40, still=True) for pair in faces_real.PAIRS
        ]
    for kind, videos in made.items():
        for name, detector in built.items():
            moved = measure(videos, detector, _with(base, name)).jitter_px
            figures = f"{np.median(moved):>8.2f}{max(moved):>9.2f}" if moved else f"{'-':>8}{'-':>9}"
            print(f"{name:<14}{kind:<16}{len(moved):>11}{figures}", flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.faces", description=__doc__)
    names = [name for name in DETECTORS if name != FIXED]
    parser.add_argument("--detectors", default=",".join(names))
    parser.add_argument("--conditions", default=",".join(condition.name for condition in drawn_videos.CONDITIONS))
    parser.add_argument("--sessions", type=int, default=5, help="two actors each")
    parser.add_argument("--utterances", type=int, default=2, help="in each drawn film")
    parser.add_argument("--stride", type=int, default=Shards().stride, help="frames from look to look")
    parser.add_argument("--roi", type=float, default=Shards().roi, help="box sides around the last face; 0: everywhere")
    args = parser.parse_args(argv)
    base = Shards(stride=args.stride, roi=args.roi)
    shared = os.environ.get("FOALNET_SHARED_DATA")
    data = Path(shared) if shared else None
    settings = Settings()
    if settings.weights is None and data and (data / "weights").is_dir():
        settings = Settings(weights=data / "weights")
    built, lacking = detectors(args.detectors.split(","), settings)
    with tempfile.TemporaryDirectory(prefix="foalnet-bench-") as name:
        drawn(draw_videos(Path(name), args.conditions.split(","), args.sessions, args.utterances), built, base)
        if data:
            real(built, Path(name), data, base)
        else:
            print("\nreal heads and pictures: not measured, FOALNET_SHARED_DATA names no folder with clips/ and faces/")
        jitter(built, Path(name), data, args.sessions, args.utterances, base)
    print("".join(f"\n{line}" for line in lacking), end="\n" if lacking else "")


if __name__ == "__main__":
    main()
