"""Predicts with a sealed model. Shape letters: N samples, F frames, C classes, B boxes of 4 edges."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from foalnet.artifact.checkpoint import put_net
from foalnet.artifact.model import Sealed, read_model
from foalnet.config import Settings, load_settings
from foalnet.config.blocks import Train
from foalnet.config.variants import Modality
from foalnet.core.errors import DataError
from foalnet.core.ledger import Ledger
from foalnet.core.records import Side
from foalnet.encoders import Pretrained
from foalnet.evidence.metrics import DECIMALS, softmax
from foalnet.faces import Detector, get_detector
from foalnet.methods import build_net
from foalnet.nets import Batch, InputShape
from foalnet.predict.answer import ClipPrediction, FaceBox, Frames, Sense, Unanswered
from foalnet.predict.live import LiveFeatures, LiveTexts
from foalnet.predict.request import Face, Request, Who
from foalnet.predict.staging import StagedClip, Stager
from foalnet.shards import Sample, SampleMeta, VideoMeta
from foalnet.stages.final.ranges import DRAWN, outside, quantities
from foalnet.stages.shards.staging import tools_of
from foalnet.train.batches import Clip, Turn, collate, filled, read_clip, turns_of
from foalnet.train.environment import determined, device
from foalnet.train.fold import pad_s

# Vectors [T, D] float32 and mask_T.
Vectors = tuple[np.ndarray, np.ndarray]
LACKS = {
    ("sound", "silent"): "its sound is silent",
    ("picture", "none"): "no face was found in its picture",
    ("text", "none"): "its words were not given",
}


def load(path: str | Path, *, settings: Settings | None = None) -> Model:
    """Return the sealed model in `path`, the folder that `foalnet final` wrote, or its model.safetensors.

    Device, weights and timeouts come from `settings` (default: settings.yaml and FOALNET_… of the current folder).
    DataError (exit 3) names a model that is absent, truncated, altered or of another version.

    >>> model = load("models/drawn/final")
    >>> model.classes
    ('happy', 'neutral', 'sad', 'angry')
    """
    file = Path(path)
    weights, sealed = read_model(file)
    return Model(sealed, weights, file, settings or load_settings())


class Model:
    """Predicts clips and staged samples; the same input gives the same probabilities on one kind of device."""

    def __init__(self, sealed: Sealed, weights: Mapping[str, Tensor], file: Path, settings: Settings) -> None:
        self.sealed, self.settings = sealed, settings
        self._device = device(settings)
        shape = InputShape(rate_hz=sealed.rate_hz, frame=sealed.frame, text=sealed.text)
        pretrained = Pretrained.from_facts(sealed.pretrained)
        net = build_net(sealed.variant, sealed.train, classes=sealed.classes, shape=shape, pretrained=pretrained)
        put_net(net, weights, file=file)
        self._net = net.to(self._device).eval()

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order of the probabilities."""
        return self.sealed.classes

    @property
    def card(self) -> dict[str, Any]:
        """The model card: data, licence, the folds' figures, limits. The seal covers it."""
        return dict(self.sealed.card)

    def predict(
        self,
        clip: str | Path,
        *,
        start_s: float | None = None,
        end_s: float | None = None,
        sound: str | Path | None = None,
        recording: str | Path | None = None,
        people: int = 1,
        side: Who = "both",
        channel: str | int | None = None,
        track: int | None = None,
        text: str | None = None,
        face: Face | None = None,
    ) -> list[ClipPrediction]:
        """Return a prediction for each person in a clip: a video, a video without sound, or a wav or flac file.

        `start_s`, `end_s`: a span of the clip in seconds, by default all of it (up to the model's limit). `sound`: a
        wav or flac file used as a whole instead of the clip's track; `recording`: one of which [start_s, end_s) is
        used. `people` 2: two people sit side by side, `side` selects one. `channel`: mean, left, right, speaker
        (that on the person's side) or a number from 1, instead of the training's; `track`: the number of the clip's
        sound track, from 1. `text`: the spoken words. `face`: of several faces the largest, or the speaker's by sound
        and motion, instead of the training's rule. If a clip lacks sound or picture, the model masks it, and a note
        says so. UsageError (exit 2) for contradictory arguments, DataError (exit 3) for an unreadable clip,
        MachineError (exit 4) for something that this machine lacks.
        """
        return self.answer(
            Request(
                clip=Path(clip),
                start_s=start_s,
                end_s=end_s,
                sound=None if sound is None else Path(sound),
                recording=None if recording is None else Path(recording),
                people=people,
                side=side,
                channel=channel,
                track=track,
                text=text,
                face=face,
            )
        )

    def answer(self, request: Request) -> list[ClipPrediction]:
        """Return the predictions for a request; see `predict`."""
        return [self._answer(one, request) for one in self.stage(request)]

    def windows(
        self, request: Request, begun: Callable[[int], object] = lambda _: None
    ) -> Generator[ClipPrediction | Unanswered, None, None]:
        """Yield a prediction for each window and person of a request, or why there is none.

        Each equals the answer to a request for that span alone. `begun` is called with their number before the first.
        Errors as of `predict`; if no window has a prediction, the error of the first.
        """
        answered, held = False, list[Unanswered]()
        with tempfile.TemporaryDirectory(prefix="foalnet-") as work:
            for staged in self._stager.windows(request, Path(work), begun):
                one = staged if isinstance(staged, Unanswered) else self._window(staged, request)
                if isinstance(one, Unanswered) and not answered:
                    held.append(one)
                    continue
                answered = True
                yield from held
                held.clear()
                yield one
        if held:
            raise held[0].error

    def stage(self, request: Request) -> list[StagedClip]:
        """Return one sample for each person of a request, staged as the training data were; errors as of `predict`."""
        with tempfile.TemporaryDirectory(prefix="foalnet-") as work:
            return self._stager.stage(request, Path(work))

    def encode(self, staged: StagedClip) -> dict[str, Vectors]:
        """Return name -> (vectors [T, D] float32, mask_T) of the parts that a staged clip has.

        The names are those of the model's modalities, and `picture` for the vectors of its frozen picture encoder.
        """
        clip, _ = self._read(staged.sample, self._clip_params)
        batch = self._batch(clip if staged.heard else clip.silenced())
        with torch.no_grad(), self._determined():
            steps = {name: each.row(0) for name, each in self._net.encode(batch.to(self._device)).items()}
        vectors = {
            str(name): (each.values_BTD[0].cpu().numpy(), each.mask_BT[0].cpu().numpy()) for name, each in steps.items()
        }
        if self._live is not None and staged.has_picture:
            vectors["picture"] = self._live.rows(staged.sample)
        return {name: each for name, each in vectors.items() if each[1].any()}

    def predict_sample(self, sample: Sample) -> ClipPrediction:
        """Return the prediction for a staged utterance from `foalnet.open_shards(…).samples()`."""
        clip, ledger = self._read(sample, self.sealed.train)
        side = cast("Side", sample.meta.side)
        return self._predict_clip(clip, ledger, sample.meta, key=sample.key, side=side, heard=True)

    @property
    def inputs(self) -> list[Modality]:
        """The modalities that the model uses."""
        return self.sealed.train.variant(self.sealed.variant).inputs

    @property
    def _by_tables(self) -> bool:
        return self.sealed.train.picture == "features" and self.sealed.features is None

    @cached_property
    def _stager(self) -> Stager:
        return Stager(
            params=self.sealed.shards,
            inputs=self.inputs,
            sees="video" in self.inputs and not self._by_tables,
            detector=lambda: self._detector,
            longest_s=self.sealed.train.max_s,
            timeout_s=self.settings.ffmpeg_timeout_s,
            held_bytes=self.settings.frames_mib << 20,
        )

    @cached_property
    def _detector(self) -> Detector:
        return get_detector(self.sealed.shards, self.settings)

    @cached_property
    def _live(self) -> LiveFeatures | None:
        """The frozen encoder with which the network was trained; MachineError (exit 4) without its weights."""
        return None if self.sealed.features is None else LiveFeatures(self.sealed.features, self.settings)

    @cached_property
    def _texts(self) -> LiveTexts | None:
        """The frozen encoder of text; MachineError (exit 4) without its weights."""
        return None if self.sealed.texts is None else LiveTexts(self.sealed.texts, self.settings)

    @cached_property
    def preprocessing(self) -> str:
        """ "same" if this machine stages clips as the training's machine did, else the differences, or "unknown"."""
        if not self.sealed.tools:
            return "unknown: the checkpoint was imported, and does not tell how its training data were staged"
        here, then = tools_of(self.sealed.shards, self.settings, ()), self.sealed.tools
        # A corpus of feature tables was staged without decoder and detector: they cannot be compared.
        names = [name for name in sorted(here) if name != "packages" and then.get(name) not in (None, here[name])]
        packages = then.get("packages", {})
        names += [
            f"{name} {packages.get(name)} -> {v}" for name, v in here["packages"].items() if packages.get(name) != v
        ]
        return "same" if not names else f"differs: {', '.join(names)}"

    def _window(self, staged: StagedClip, request: Request) -> ClipPrediction | Unanswered:
        try:
            return self._answer(staged, request)
        except DataError as error:
            meta = staged.sample.meta
            return Unanswered(side=staged.side, start_s=meta.start_s, end_s=meta.end_s, error=error)

    @property
    def _clip_params(self) -> Train:
        """The params by which a clip is read: without picture for a model of feature tables."""
        # The sample of such a clip has pictures, all masked.
        return self.sealed.train.model_copy(update={"picture": "face"}) if self._by_tables else self.sealed.train

    def _answer(self, staged: StagedClip, request: Request) -> ClipPrediction:
        clip, ledger = self._read(staged.sample, self._clip_params)
        meta, key = staged.sample.meta, request.clip.stem
        prediction = self._predict_clip(clip, ledger, meta, key=key, side=staged.side, heard=staged.heard)
        video = meta.video
        assert video is not None, "a clip is staged with pictures"
        notes, frames = list(dict.fromkeys([*staged.notes, *prediction.notes])), Frames()
        if staged.has_picture:
            counts = {name: video.sources.count(name) for name in ("detected", "bridged", "missing")}
            frames = Frames(total=len(video.sources), seen=prediction.frames.seen, **counts)
        if prediction.picture == "none":
            notes.insert(0, self._why_blind(video.reasons, has_picture=staged.has_picture))
        if request.people == 2 and prediction.sound == "found" and request.sound is None:
            notes.append("the sound is the clip's: where both people speak, both are heard")
        times: dict[str, Any] = {}
        if not (staged.heard or staged.has_picture):
            times = {"start_s": None, "end_s": None}
        return replace(prediction, frames=frames, preprocessing=self.preprocessing, notes=tuple(notes), **times)

    def _why_blind(self, reasons: list[str], *, has_picture: bool) -> str:
        if self._by_tables:
            return "no picture: the model was trained on tables of features, which a clip does not have"
        if not has_picture:
            return "no picture: the clip has none"
        if "no_face" in reasons:
            return f"no picture: no face was found in {len(reasons)} frames"
        return "no picture: no frame of that time decodes"

    def _read(self, sample: Sample, params: Train) -> tuple[Clip, Ledger]:
        ledger = Ledger()
        clip, rate_hz = read_clip(sample, params, ledger, self._live, self._texts)
        frame = clip.parts["video"].values.shape[1:]
        if rate_hz != self.sealed.rate_hz or (clip.has("video") and frame != self.sealed.frame):
            raise DataError(
                f"the sample has sound of {rate_hz} Hz and frames of shape {list(frame)}; the model "
                f"takes {self.sealed.rate_hz} Hz and {list(self.sealed.frame)}",
                file=sample.shard or None,
                utterance=sample.key,
                action="give samples that were staged with the model's own params (its card names the corpus)",
            )
        return filled(clip, self.sealed.frame), ledger

    def _unlike(self, clip: Clip, meta: SampleMeta, *, heard: bool) -> list[str]:
        """Return notes on a model of drawn data, and on what of the clip is outside the training data's ranges."""
        data = self.sealed.card.get("data", {})
        wave_N = clip.parts["audio"].values if heard and "audio" in self.inputs else None
        measured = quantities(meta, wave_N)
        if wave_N is not None and "duration_s" in measured:
            # The network uses the whole sound, however long the picture is.
            measured["duration_s"] = max(measured["duration_s"], len(wave_N) / self.sealed.rate_hz)
        return [*([DRAWN] if data.get("drawn") else []), *outside(data.get("ranges", {}), measured)]

    def _predict_clip(
        self, clip: Clip, ledger: Ledger, meta: SampleMeta, *, key: str, side: Side, heard: bool
    ) -> ClipPrediction:
        """Run the network on one clip alone, so that no other clip can change the last digit."""
        clip = clip if heard else clip.silenced()
        probability_C = softmax(self._logits(self._batch(clip)))[0].round(DECIMALS)
        best = int(probability_C.argmax())
        sound: Sense = "found" if clip.has("audio") else "silent" if heard else "none"
        sound = sound if "audio" in self.inputs else "unused"
        picture: Sense = "unused" if "video" not in self.inputs else "found" if clip.has("video") else "none"
        text: Sense = "unused" if "text" not in self.inputs else "found" if clip.has("text") else "none"
        senses = (("sound", sound), ("picture", picture), ("text", text))
        if all(sense != "found" for _, sense in senses):
            lacks = [LACKS[lack] for lack in senses if lack in LACKS]
            raise DataError(
                f"the clip has nothing that the model takes: {' and '.join(lacks)}",
                utterance=key,
                action="give what the model takes: a voice, a face seen from the front, or the spoken words (--text)",
            )
        notes = self._unlike(clip, meta, heard=clip.has("audio"))
        if self._net.over_turns:
            notes.append("the model was trained on whole dialogues; this clip is one turn alone, without its context")
        notes += [f"cut: {line.detail}" for line in ledger.entries if line.reason == "audio_truncated"]
        lost = [name for name, sense in senses if sense in ("none", "silent")]
        if lost:
            together = " and ".join(name for name, sense in senses if sense != "unused")
            notes.append(
                f"variant {self.sealed.variant} was trained on {together} together; without {' and '.join(lost)} the "
                "figures of its card do not hold"
            )
        mask_F = clip.parts["video"].mask_T
        return ClipPrediction(
            key=key,
            side=side,
            label=self.classes[best],
            probabilities={name: float(p) for name, p in zip(self.classes, probability_C, strict=True)},
            sound=sound,
            picture=picture,
            text=text,
            frames=Frames(seen=int(mask_F.sum()), total=len(mask_F)),
            notes=tuple(notes),
            start_s=meta.start_s,
            end_s=meta.end_s,
            face=face_of(meta.video) if picture == "found" else None,
        )

    @torch.no_grad()
    def _logits(self, batch: Batch) -> Any:
        """Return the logits [1, C] as a float32 array."""
        with self._determined():
            return self._net(batch.to(self._device)).logits_BC.float().cpu().numpy()

    def _batch(self, clip: Clip) -> Batch:
        batch = collate([clip], samples=round((pad_s(self.sealed.train) or 0.0) * self.sealed.rate_hz))
        # For a method over turns a clip is a dialogue of one turn.
        turns = turns_of([[Turn(key=clip.key, speaker="", scored=True)]]) if self._net.over_turns else None
        return replace(batch, turns=turns)

    def _determined(self) -> AbstractContextManager[None]:
        return determined(self.sealed.train.determinism, self.settings.threads or 1)


def face_of(video: VideoMeta | None) -> FaceBox | None:
    """Return where the face of a sample is, None without a box."""
    boxes_B4 = np.array([box for box in video.boxes if any(box)] if video else [], np.float64).reshape(-1, 4)
    if video is None or not len(boxes_B4):
        return None
    left, top, right, bottom = video.area
    shares_B4 = (boxes_B4 - (left, top, left, top)) / (right - left, bottom - top, right - left, bottom - top)
    low_x, low_y, high_x, high_y = np.median(shares_B4, axis=0)
    x, y, height = ((low_x + high_x) / 2, (low_y + high_y) / 2, high_y - low_y)
    return FaceBox(x=round(float(x), 4), y=round(float(y), 4), height=round(float(height), 4))
