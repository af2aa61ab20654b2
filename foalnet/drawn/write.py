"""Writes the files of the drawn corpus, dialogue by dialogue in several processes, and publishes them as one folder."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import soundfile

from foalnet.config.draw import Draw
from foalnet.core.errors import MachineError, UsageError, reason
from foalnet.core.files import json_bytes, sha256_file, sync_folder
from foalnet.core.paths import FACTS
from foalnet.core.processes import die_with_parent
from foalnet.core.progress import counted
from foalnet.drawn import avi, face, picture, text, voice
from foalnet.drawn.motion import motion
from foalnet.drawn.plan import ACTORS, RATE_HZ, Dialogue, Turn, kinds_of, plan, stream
from foalnet.drawn.rule import best_by_kind, best_scores, joint, own_task_best
from foalnet.drawn.structure import plan_structure, read_structure, shortest
from foalnet.drawn.truth import truth

TRUTH = "TRUTH"
RULE = "rule.json"
LICENCE = "Drawn by this project's own code, no person is seen or heard in it; Apache-2.0 like the code."
FRESH = ".drawing"
# Share of the other actor's sound in each microphone.
CROSSTALK = 0.04
SHADOW = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(96)


def draw(
    params: Draw,
    out: Path,
    *,
    workers: int = 1,
    structure: Path | None = None,
    media: int | None = None,
) -> None:
    """Draw the whole corpus and publish it as the folder `out`, with the same bytes for any `workers`.

    An interrupt leaves no folder, the earlier one or the whole new one. `structure`: a table of utterances
    (`structure.COLUMNS`) that gives dialogues, times and raw labels. `media`: number of each session's shortest
    dialogues that get sound and picture; None is all.
    Raises DataError (exit 3) with the line of an unusable row in the table, UsageError (exit 2) if `out` is a folder
    that this function did not draw, MachineError (exit 4) for errors of disk or ffmpeg.
    """
    refuse_foreign(out)
    dialogues, with_media = planned(params, structure, media)
    fresh = out.parent / f".{out.name}.{os.getpid()}{FRESH}"
    try:
        _remove_leftovers(out)
        (fresh / TRUTH).mkdir(parents=True)
        (fresh / TRUTH / RULE).write_bytes(json_bytes(rule_facts(params, structure)))
        (fresh / FACTS).write_bytes(json_bytes(facts_of(params, structure)))
        _draw_all(params, dialogues, fresh, workers, with_media)
        _publish(fresh, out)
    except OSError as error:
        raise MachineError(
            f"cannot write: {reason(error)}",
            file=error.filename or out,
            action="free space or permissions, then run the same command again",
        ) from error
    except BrokenProcessPool as error:
        raise MachineError(
            "a drawing process was killed (often because of too little memory)",
            file=out,
            action="run the same command again, with fewer workers (FOALNET_WORKERS=1) if it happens again",
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _remove_leftovers(out: Path) -> None:
    """Remove the temporary folders of killed runs; keep those of living processes."""
    for folder in sorted(out.parent.glob(f".{out.name}.*{FRESH}")):
        try:
            os.kill(int(folder.name.removesuffix(FRESH).rsplit(".", 1)[-1]), 0)
        except (ProcessLookupError, ValueError):
            shutil.rmtree(folder, ignore_errors=True)
        except PermissionError:
            continue


def planned(params: Draw, structure: Path | None, media: int | None) -> tuple[list[Dialogue], set[str]]:
    """Return all dialogues, and the names of those that get sound and picture (DataError, exit 3, for a bad table)."""
    dialogues = plan(params) if structure is None else plan_structure(params, read_structure(structure))
    return dialogues, {d.name for d in dialogues} if media is None else shortest(dialogues, media)


def rule_facts(params: Draw, structure: Path | None) -> dict[str, object]:
    """Return the content of `TRUTH/rule.json`: params, and the best scores or the digest of the structure."""
    rule: dict[str, object] = {"params": params.model_dump()}
    return rule | ({"structure_sha256": sha256_file(structure)} if structure else {"best_scores": best_scores(params)})


def facts_of(params: Draw, structure: Path | None) -> dict[str, object]:
    """Return what the drawn corpus states of itself to later stages; its best scores where the rule chose the cues."""
    facts: dict[str, object] = {"drawn": True, "licence": LICENCE}
    if structure is None:
        facts |= {"best_scores": best_scores(params), "best_by_kind": best_by_kind(), "kinds": kinds_of(params)}
        facts["best_own_tasks"] = own_task_best(joint(params))
    return facts


def refuse_foreign(out: Path) -> None:
    """Raise UsageError (exit 2) if `out` is a non-empty folder that `draw` did not write."""
    if out.exists() and not (out / TRUTH).is_dir() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(
            "this folder has other content than a drawn corpus; it was not changed",
            file=out,
            action="name another folder, or move this one away",
        )


def _draw_all(params: Draw, dialogues: list[Dialogue], root: Path, workers: int, with_media: set[str]) -> None:
    task = partial(draw_dialogue, params, root=root, with_media=with_media)
    with counted("draw", len(dialogues), "dialogues") as one_more:
        if workers <= 1:
            for dialogue in dialogues:
                task(dialogue)
                one_more()
            return
        context = multiprocessing.get_context("spawn")
        count = min(workers, len(dialogues))
        with ProcessPoolExecutor(count, mp_context=context, initializer=_start_worker, initargs=(os.getpid(),)) as pool:
            futures = [pool.submit(task, dialogue) for dialogue in dialogues]
            try:
                for future in as_completed(futures):
                    future.result()
                    one_more()
            except BaseException:
                # The running and queued dialogues would take minutes, and their files are discarded anyway.
                for child in multiprocessing.active_children():
                    child.kill()
                raise


def _start_worker(parent: int) -> None:
    """Set up a worker: one OpenCV thread, ends with its parent, leaves Ctrl-C to its parent."""
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


def _publish(fresh: Path, out: Path) -> None:
    """Flush the drawn files to the disk, then swap the folders."""
    os.sync()
    old = out.parent / f".{out.name}.old"
    if old.exists():
        shutil.rmtree(old)
    if out.exists():
        out.rename(old)
    fresh.rename(out)
    sync_folder(out.parent)
    if old.exists():
        shutil.rmtree(old)


def draw_dialogue(params: Draw, dialogue: Dialogue, *, root: Path, with_media: set[str]) -> None:
    """Write all files of one dialogue below `root`; sound and picture only if its name is in `with_media`.

    The bytes depend only on params and plan.
    """
    session = root / f"Session{dialogue.session}"
    files: dict[Path, bytes] = {}
    opinions = text.opinions(dialogue, params.seed)
    labels = session / "dialog" / "EmoEvaluation"
    files[labels / f"{dialogue.name}.txt"] = text.label_file(dialogue, opinions).encode()
    for name, content in text.rater_files(dialogue, opinions).items():
        files[labels / name] = content.encode()
    transcript = session / "dialog" / "transcriptions" / f"{dialogue.name}.txt"
    files[transcript] = text.transcription(dialogue, params.seed).encode()
    if dialogue.name in with_media:
        _media(params, dialogue, root, session, files)
    for path, data in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _media(params: Draw, dialogue: Dialogue, root: Path, session: Path, files: dict[Path, bytes]) -> None:
    """Write sound, picture and ground truth of a dialogue; the first one of a session gets macOS' shadow files too."""
    sound_N2, articulation = _speak(params, dialogue)
    video = session / "dialog" / "avi" / "DivX" / f"{dialogue.name}.avi"
    whole = session / "dialog" / "wav" / f"{dialogue.name}.wav"
    clips = session / "sentences" / "wav" / dialogue.name
    sounds = {clips / f"{turn.key}.wav": sound_N2[_span(turn), ACTORS.index(turn.speaker)] for turn in dialogue.turns}
    if dialogue.number == 0:
        first = clips / f"{dialogue.turns[0].key}.wav"
        labels = [path for path in files if path.name == f"{dialogue.name}.txt"]
        for path in (*labels, video, whole, first):
            files[path.with_name(f"._{path.name}")] = SHADOW
    for path in sorted({*sounds, video, whole}):
        path.parent.mkdir(parents=True, exist_ok=True)
    for path, wave in {whole: sound_N2, **sounds}.items():
        soundfile.write(path, wave, RATE_HZ, subtype="PCM_16", format="WAV")
    facts = _write_video(params, dialogue, articulation, video)
    (root / TRUTH / f"{dialogue.name}.json").write_bytes(
        (json.dumps(facts, sort_keys=True, allow_nan=False) + "\n").encode()
    )


def _span(turn: Turn) -> slice:
    return slice(round(turn.start_s * RATE_HZ), round(turn.end_s * RATE_HZ))


def _speak(params: Draw, dialogue: Dialogue) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the dialogue's sound, int16 [N, 2] (F, M), and each actor's articulation [N]."""
    samples = dialogue.samples
    tracks_2N = np.zeros((len(ACTORS), samples), np.float32)
    articulation = {actor: np.zeros(samples, np.float32) for actor in ACTORS}
    voices = {
        actor: voice.draw_voice(actor, stream(params.seed, dialogue.session, 6, index))
        for index, actor in enumerate(ACTORS)
    }
    for index, turn in enumerate(dialogue.turns):
        rng = stream(params.seed, dialogue.session, 7, dialogue.number, index)
        span = _span(turn)
        spoken = voice.speak(voices[turn.speaker], turn.sound, span.stop - span.start, rng)
        tracks_2N[ACTORS.index(turn.speaker), span] = spoken.wave_N
        articulation[turn.speaker][span] = spoken.articulation_N
    heard_2N = tracks_2N + CROSSTALK * tracks_2N[::-1]
    rng = stream(params.seed, dialogue.session, 8, dialogue.number)
    heard_2N += np.stack([voice.room(samples, rng) for _ in ACTORS])
    return np.round(np.clip(heard_2N, -1.0, 1.0).T * 32767).astype(np.int16), articulation


def _write_video(
    params: Draw, dialogue: Dialogue, articulation: dict[str, np.ndarray], path: Path
) -> dict[str, object]:
    """Encode the dialogue's video and return its ground truth."""
    rng = stream(params.seed, dialogue.session, 9, dialogue.number)
    by_side = {"left": dialogue.marker, "right": next(a for a in ACTORS if a != dialogue.marker)}
    looks = {
        side: face.draw_look(actor, stream(params.seed, dialogue.session, 10, ACTORS.index(actor)))
        for side, actor in by_side.items()
    }
    seats = {side: picture.seat(side, rng) for side in by_side}
    moves = {
        side: motion(dialogue, actor, articulation[actor], rng).subsampled(dialogue.ticks_per_frame)
        for side, actor in by_side.items()
    }
    background = picture.room(looks, seats, rng)
    actors = {side: (looks[side], moves[side], seats[side]) for side in by_side}
    count = avi.encode(
        path,
        picture.frames(background, actors, rng),
        width_px=picture.WIDTH_PX,
        height_px=picture.HEIGHT_PX,
        rate=params.rate_fps,
    )
    assert count * dialogue.ticks_per_frame == dialogue.frames
    return truth(dialogue, by_side, actors)
