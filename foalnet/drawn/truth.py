"""The ground truth of a drawn dialogue, for tests: position of each head, case of each utterance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from foalnet.drawn import face
from foalnet.drawn.motion import Motion
from foalnet.drawn.plan import ACTORS, FPS_DEN, FPS_NUM, Dialogue


def truth(
    dialogue: Dialogue,
    by_side: Mapping[str, str],
    actors: Mapping[str, tuple[face.Look, Motion, tuple[float, float]]],
) -> dict[str, object]:
    """Return the ground truth of a dialogue: per actor the side, boxes and frames away; per utterance its case.

    Frames are those of the video. A box is left, top, right, bottom of the face's ellipse (hairline to chin, without
    hair) in pixels of the video.
    """
    step = dialogue.ticks_per_frame
    seen: dict[str, object] = {}
    for side, actor in by_side.items():
        look, moves, place = actors[side]
        half_height_F = face.HALF_FACE_PX * look.size * moves.scale_F
        half_width_F = half_height_F * look.aspect
        x_F, y_F = place[0] + moves.x_F, place[1] + moves.y_F
        edges_F4 = np.stack([x_F - half_width_F, y_F - half_height_F, x_F + half_width_F, y_F + half_height_F], 1)
        away = [[-(-first // step), last // step] for first, last in dialogue.away[actor]]
        seen[actor] = {"side": side, "boxes": np.round(edges_F4, 1).tolist(), "away": away}
    turns = [
        {
            "key": turn.key,
            "speaker": turn.speaker,
            "side": turn.side,
            "start_s": turn.start_s,
            "end_s": turn.end_s,
            "frames": [turn.frames[0] // step, -(-turn.frames[1] // step)],
            "raw_label": turn.raw_label,
            "label": turn.cell.label if turn.cell else None,
            "kind": turn.cell.kind if turn.cell else None,
            "sound": turn.sound,
            "face": turn.face,
        }
        for turn in dialogue.turns
    ]
    return {
        "dialogue": dialogue.name,
        "session": dialogue.session,
        "marker": dialogue.marker,
        "rate_fps": f"{FPS_NUM // step}/{FPS_DEN}",
        "frames": dialogue.frames // step,
        "samples": dialogue.samples,
        "channels": list(ACTORS),
        "actors": seen,
        "utterances": turns,
    }
