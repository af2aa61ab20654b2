"""Reads the utterances of an experiment into memory in the network's form: frames thinned, cut, checked once.

Shape letters: N samples, F frames, H and W pixels, D feature width.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from foalnet.artifact.seal import command
from foalnet.config.blocks import Train
from foalnet.config.variants import Modality
from foalnet.core.errors import DataError, UsageError
from foalnet.core.ledger import SILENT, Ledger
from foalnet.core.progress import counted
from foalnet.nets import Encoded, InputShape
from foalnet.nets.hashed import pieces_of
from foalnet.shards import Sample, ShardSet
from foalnet.shards.features import FeatureSet, Vectors, steps_between
from foalnet.train.batches.turns import Turn

# Sound and frames of an utterance of text alone: they are masked.
TEXT_ALONE = np.zeros(1, np.float32)
NO_FRAME = np.zeros(0, bool)
RATE_HZ = 16_000


@dataclass(frozen=True, kw_only=True)
class Part:
    """One modality of an utterance: values [T, ...], zero where mask_T (bool) is False.

    `audio`: float32 [N]; `video`: uint8 [F, 3, H, W] or float32 [F, D]; `text`: int64 [T, P] (`pieces_of`) or float32
    [T, D].
    """

    values: np.ndarray
    mask_T: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One utterance by modality. Silent sound, or that of a text alone, is there and masked."""

    key: str
    parts: Mapping[Modality, Part]

    @classmethod
    def of(
        cls, key: str, *, wave_N: np.ndarray, frames: np.ndarray, frame_mask_F: np.ndarray, heard: bool = True
    ) -> Clip:
        """Return a clip of sound and pictures; `heard` False masks the sound."""
        # The mask is one value seen N times: it takes no memory.
        sound = Part(values=wave_N, mask_T=np.broadcast_to(np.bool_(heard), len(wave_N)))
        return cls(key=key, parts={"audio": sound, "video": Part(values=frames, mask_T=frame_mask_F)})

    @property
    def samples(self) -> int:
        """The length of the sound in samples."""
        return len(self.parts["audio"].values)

    def has(self, modality: Modality) -> bool:
        """Return whether a modality has a valid step."""
        return bool(self.parts[modality].mask_T.any())

    def put(self, modality: Modality, part: Part) -> Clip:
        """Return the clip with another part."""
        return replace(self, parts={**self.parts, modality: part})

    def silenced(self) -> Clip:
        """Return the clip with its sound masked."""
        sound = self.parts["audio"]
        return self.put("audio", replace(sound, mask_T=np.zeros_like(sound.mask_T)))


@dataclass(frozen=True, kw_only=True)
class Store:
    """Clips by key, in key order, all of one shape; `ledger` lists the clips that were cut or have no picture.

    `features`: the frozen encoder of the vectors in the frames, None for pictures or the corpus' own table.
    `texts`: that of the vectors of text, None for words. `dialogues`: name -> its turns, for a method over turns.
    `prepared`, `encoded`: stored encoder outputs of each clip (see `Inputs`), as a batch of one; batches then contain
    these instead of sound and frames.
    """

    clips: Mapping[str, Clip]
    shape: InputShape
    ledger: Ledger
    features: Mapping[str, Any] | None = None
    texts: Mapping[str, Any] | None = None
    dialogues: Mapping[str, tuple[Turn, ...]] = field(default_factory=dict)
    prepared: Mapping[str, Encoded] = field(default_factory=dict)
    encoded: Mapping[str, Encoded] = field(default_factory=dict)

    def __contains__(self, key: str) -> bool:
        return key in self.clips

    def samples(self, key: str) -> int:
        """Return the length of a clip's sound in samples."""
        return self.clips[key].samples

    def samples_in(self, pad_s: float | None) -> int:
        """Return the number of samples in `pad_s` seconds; 0 for None."""
        return 0 if pad_s is None else round(pad_s * self.shape.rate_hz)

    def units(self, keys: Sequence[str]) -> list[str]:
        """Return what a batch is made of: the utterances themselves, or the dialogues with a turn among them."""
        if not self.dialogues:
            return list(keys)
        wanted = set(keys)
        return sorted(name for name, turns in self.dialogues.items() if any(turn.key in wanted for turn in turns))

    def length(self, unit: str) -> int:
        """Return the samples of an utterance, or the turns of a dialogue."""
        return len(self.dialogues[unit]) if self.dialogues else self.samples(unit)

    def keys(self, units: Iterable[str]) -> list[str]:
        """Return the utterances of units, those of a dialogue in the order of its turns."""
        if not self.dialogues:
            return list(units)
        return [turn.key for unit in units for turn in self.dialogues[unit]]


def load_store(
    shards: ShardSet,
    keys: Collection[str],
    params: Train,
    features: FeatureSet | None = None,
    texts: FeatureSet | None = None,
    dialogues: Mapping[str, tuple[Turn, ...]] | None = None,
) -> Store:
    """Read the named utterances from the shards; leave out those not in the shards (staging gives the reason).

    `features`, `texts`: the vectors of frozen encoders. `dialogues`: read all their turns too (`Store.dialogues`).
    It keeps every `frame_step`-th frame; it cuts sound and frames after `max_s` and counts them. DataError (exit 3)
    names an utterance with unusable members; UsageError (exit 2) if the shards do not have the picture
    `params.picture`.
    """
    dialogues = dialogues or {}
    wanted, ledger = {*keys, *(turn.key for turns in dialogues.values() for turn in turns)}, Ledger()
    clips: dict[str, Clip] = {}
    rates: set[int] = set()
    with counted("reading the clips", len(wanted), "utterances") as one_more:
        for sample in shards.samples():
            if sample.key in wanted:
                clip, rate_hz = read_clip(sample, params, ledger, features, texts)
                clips[clip.key] = clip
                rates.add(rate_hz)
                one_more()
    if len(rates) != 1:
        raise DataError(
            f"the shards hold sound of {sorted(rates)} Hz" if rates else "the shards hold none of the utterances used",
            file=shards.folder,
            action="run `dvc repro`: manifest and shards do not belong together",
        )
    pictures = {key: clip.parts["video"].values for key, clip in clips.items()}
    frame = _common_shape({key: frames.shape[1:] for key, frames in pictures.items() if frames.size}, shards)
    ordered = {key: filled(clips[key], frame) for key in sorted(clips)}
    for key, clip in ordered.items():
        if not clip.has("video") and clip.samples > len(TEXT_ALONE):
            ledger.keep(key, "video_missing", "no frame that training could use")
    there = {name: tuple(turn for turn in turns if turn.key in ordered) for name, turns in dialogues.items()}
    return Store(
        clips=ordered,
        shape=InputShape(rate_hz=rates.pop(), frame=frame, text=texts.index.dims if texts else None),
        ledger=ledger,
        features=features.facts if features else None,
        texts=texts.facts if texts else None,
        dialogues={name: turns for name, turns in there.items() if turns},
    )


def _common_shape(shapes: Mapping[str, tuple[int, ...]], shards: ShardSet) -> tuple[int, ...]:
    """Return the common shape of all frames; that of an empty feature vector if no utterance has a picture."""
    known = sorted(set(shapes.values()))
    if len(known) > 1:
        raise DataError(
            f"the shards hold pictures of {len(known)} shapes: {', '.join(map(str, known))}",
            file=shards.folder,
            utterance=min(key for key, shape in shapes.items() if shape != known[0]),
            action=f"run `{command(f'shards@{shards.corpus}')}`",
        )
    return known[0] if known else (0,)


def filled(clip: Clip, frame: tuple[int, ...]) -> Clip:
    """Return the clip; one without any picture gets masked frames of the corpus' shape."""
    pictures = clip.parts["video"]
    if pictures.values.shape[1:] == frame:
        return clip
    slots, kind = len(pictures.mask_T), np.uint8 if len(frame) == 3 else np.float32
    return clip.put("video", Part(values=np.zeros((slots, *frame), kind), mask_T=np.zeros(slots, bool)))


def read_clip(
    sample: Sample, params: Train, ledger: Ledger, features: Vectors | None = None, texts: Vectors | None = None
) -> tuple[Clip, int]:
    """Return one sample as (clip, rate of its sound in Hz); cuts go to the ledger.

    `features`: if `params.picture` is features, the vectors of a frozen encoder instead of the sample's own table.
    `texts`: the vectors of the words.
    """
    text = _text(sample, params, ledger, texts)
    if not sample.has("sound"):
        nothing = Clip.of(
            sample.key, wave_N=TEXT_ALONE, frames=np.zeros((0, 0), np.uint8), frame_mask_F=NO_FRAME, heard=False
        )
        return nothing.put("text", text), RATE_HZ
    wave_N, rate_hz = sample.sound()
    try:
        if params.picture == "features" and features is not None:
            frames, mask_F = _encoded(sample, params, features)
        else:
            frames, mask_F = (_features if params.picture == "features" else _pictures)(sample, params)
    except DataError as error:
        raise error if error.utterance else sample.unusable(error.what) from error
    longest = round(params.max_s * rate_hz)
    if len(wave_N) > longest:
        ledger.repair(sample.key, "audio_truncated", f"{len(wave_N) / rate_hz:.2f} s to {params.max_s:g} s")
        wave_N = wave_N[:longest].copy()
    heard = sample.meta.audio is not None and sample.meta.audio.reason != SILENT
    clip = Clip.of(sample.key, wave_N=wave_N, frames=frames, frame_mask_F=mask_F, heard=heard)
    return clip.put("text", text), rate_hz


def _text(sample: Sample, params: Train, ledger: Ledger, texts: Vectors | None) -> Part:
    """Return the words of the utterance's text as hashes, or the vectors of a frozen encoder; T = 0 without a text."""
    steps_TD = pieces_of(sample.meta.text) if texts is None else texts.rows(sample)[0]
    words = params.text.words
    if len(steps_TD) > words:
        ledger.repair(sample.key, "text_truncated", f"{len(steps_TD)} to {words} words")
    return Part(values=steps_TD[:words], mask_T=np.ones(len(steps_TD[:words]), bool))


def _times_s(sample: Sample, params: Train) -> list[float]:
    """Return the times of every frame_step-th frame, from the utterance's start, up to max_s."""
    meta = sample.meta
    assert meta.video is not None
    from_start_s = [time_s - meta.start_s for time_s in meta.video.times_s[:: params.frame_step]]
    return [time_s for time_s in from_start_s if time_s < params.max_s]


def _pictures(sample: Sample, params: Train) -> tuple[np.ndarray, np.ndarray]:
    """Return (frames [F, 3, H, W] uint8, mask_F): every frame_step-th slot up to max_s; an empty slot is masked."""
    from foalnet.media import read_jpeg

    assert params.picture != "features"
    if not sample.has(params.picture):
        raise _no_picture(sample, params.picture, "features")
    slots = sample.pictures(params.picture)[:: params.frame_step]
    return stack_pictures([read_jpeg(jpeg) if jpeg else None for jpeg in slots[: len(_times_s(sample, params))]])


def stack_pictures(pictures: Sequence[np.ndarray | None]) -> tuple[np.ndarray, np.ndarray]:
    """Return (frames [F, 3, H, W] uint8, mask_F) of RGB pictures [H, W, 3]; None is a masked frame of zeros."""
    mask_F = np.array([picture is not None for picture in pictures], bool)
    shape = next((picture.shape for picture in pictures if picture is not None), None)
    if shape is None:
        return np.zeros((len(pictures), 0), np.uint8), mask_F
    frames = np.zeros((len(pictures), shape[2], *shape[:2]), np.uint8)
    for place, picture in enumerate(pictures):
        if picture is not None:
            frames[place] = picture.transpose(2, 0, 1)
    return frames, mask_F


def _encoded(sample: Sample, params: Train, features: Vectors) -> tuple[np.ndarray, np.ndarray]:
    """Return (frames [F, D] float32, mask_F) of a frozen encoder's vectors, for the slots that `_pictures` uses."""
    rows_FD, mask_F = features.rows(sample)
    step, kept = steps_between(params.frame_step, features.frame_step), len(_times_s(sample, params))
    return np.ascontiguousarray(rows_FD[::step][:kept]), mask_F[::step][:kept]


def _features(sample: Sample, params: Train) -> tuple[np.ndarray, np.ndarray]:
    """Return (frames [F, D] float32, mask_F) of a feature table's rows, every frame_step-th."""
    if not sample.has("features"):
        raise _no_picture(sample, "features", "face or half")
    kept = np.ascontiguousarray(sample.table()[:: params.frame_step])
    return kept, np.ones(len(kept), bool)


def _no_picture(sample: Sample, wanted: str, instead: str) -> UsageError:
    action = f"set train.picture to {instead} for this corpus in params.yaml"
    return sample.lacks(f"train.picture is '{wanted}'", action)
