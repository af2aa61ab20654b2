"""Writes the text files of a dialogue in IEMOCAP's grammar: labels with raters, transcription, evaluators' files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foalnet.drawn.plan import Dialogue, Turn, stream

HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
VOTES = {
    "ang": "Anger",
    "exc": "Excited",
    "fru": "Frustration",
    "hap": "Happiness",
    "neu": "Neutral",
    "sad": "Sadness",
}
OTHER_VOTES = ("Disgust", "Fear", "Other", "Surprise")
# Raw labels that only occur with a given structure.
RARE_VOTES = {"dis": "Disgust", "fea": "Fear", "oth": "Other", "sur": "Surprise"}
UNDECIDED = "xxx"
# Usual valence, activation and dominance of a label, 1 to 5.
CENTRES = {
    "ang": (2, 4, 4),
    "exc": (4, 4, 3),
    "fru": (2, 3, 3),
    "hap": (4, 3, 3),
    "neu": (3, 2, 3),
    "sad": (2, 2, 2),
    "xxx": (3, 3, 3),
}
RARE_CENTRES = {"dis": (2, 3, 3), "fea": (2, 4, 2), "oth": (3, 3, 3), "sur": (3, 4, 3)}
CATEGORICAL = ("E1", "E2", "E4")
DIMENSIONAL = ("E2", "E3")
# Spoken in every emotion alike, so that the text carries no information on the class.
SENTENCES = (
    "So that is what they told you at the door.",
    "I came here by the early train this morning.",
    "You said the paper was on the kitchen table.",
    "There were two people in front of me.",
    "We could look at it again tomorrow.",
    "He asked me for the number of the house.",
    "I put the keys where you always put them.",
    "They moved the meeting to the other room.",
    "It is the third time since the summer.",
    "She will call us when she gets there.",
    "I did not know that you were waiting.",
    "Then we went along the river for a while.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Opinions:
    """The ratings of one utterance by rater: categorical votes and (valence, activation, dominance)."""

    votes: dict[str, tuple[str, ...]]
    ratings: dict[str, tuple[int, int, int]]

    @property
    def mean(self) -> tuple[float, float, float]:
        """Mean rating of the evaluators, without self-reports."""
        rows = [rating for rater, rating in self.ratings.items() if rater.startswith("E")]
        return tuple(sum(column) / len(rows) for column in zip(*rows, strict=True))  # type: ignore[return-value]


def opinions(dialogue: Dialogue, seed: int) -> dict[str, Opinions]:
    """Draw the ratings of each utterance: a majority votes for its raw label, unless that is xxx."""
    rng = stream(seed, dialogue.session, 4, dialogue.number)
    return {turn.key: _opinions(turn, rng) for turn in dialogue.turns}


def _opinions(turn: Turn, rng: np.random.Generator) -> Opinions:
    names = [*VOTES.values(), *OTHER_VOTES]
    known = VOTES | RARE_VOTES
    strangers = [names[i] for i in rng.permutation(len(names)) if names[i] != known.get(turn.raw_label)]
    if turn.raw_label in known:
        own = known[turn.raw_label]
        cast: list[tuple[str, ...]] = [(own,), (own,), (own,) if rng.random() < 0.6 else (strangers[0],)]
        if rng.random() < 0.15:
            cast[0] = (own, strangers[1])
    else:
        own, cast = strangers[3], [(name,) for name in strangers[:3]]
    order = rng.permutation(len(CATEGORICAL))
    votes = {rater: cast[i] for rater, i in zip(CATEGORICAL, order, strict=True)}
    self_rater = f"{turn.speaker}1"
    votes[self_rater] = (own,) if rng.random() < 0.7 else (strangers[4],)
    centre = (CENTRES | RARE_CENTRES)[turn.raw_label]
    ratings = {
        rater: tuple(int(np.clip(value + rng.integers(-1, 2), 1, 5)) for value in centre)
        for rater in (*DIMENSIONAL, self_rater)
    }
    return Opinions(votes=votes, ratings=ratings)  # type: ignore[arg-type]


def is_label(raw_label: str) -> bool:
    """Return whether ratings can be drawn for a raw label."""
    return raw_label == UNDECIDED or raw_label in VOTES | RARE_VOTES


def label_file(dialogue: Dialogue, by_key: dict[str, Opinions]) -> str:
    """Return the text of EmoEvaluation/<dialogue>.txt: a line per utterance in order of time, its raters below."""
    lines = [HEADER]
    for turn in dialogue.turns:
        opinion = by_key[turn.key]
        mean = ", ".join(f"{value:.4f}" for value in opinion.mean)
        lines.append(f"[{turn.start_s:.4f} - {turn.end_s:.4f}]\t{turn.key}\t{turn.raw_label}\t[{mean}]\n")
        lines += [f"C-{rater}:\t{_listed(votes)}\t({_remark(votes)})\n" for rater, votes in opinion.votes.items()]
        lines += [f"A-{rater}:\tval {v}; act {a}; dom  {d};\t()\n" for rater, (v, a, d) in opinion.ratings.items()]
        lines.append("\n")
    return "".join(lines)


def _listed(votes: tuple[str, ...]) -> str:
    return " ".join(f"{vote};" for vote in votes)


def _remark(votes: tuple[str, ...]) -> str:
    return "unsure" if "Other" in votes else ""


def transcription(dialogue: Dialogue, seed: int) -> str:
    """Return the text of transcriptions/<dialogue>.txt; its first line is a breath (…XX0), which has no label line."""
    rng = stream(seed, dialogue.session, 5, dialogue.number)
    lines = [f"{dialogue.name}_{dialogue.marker}XX0 [000.2000-000.6000]: [BREATHING]\n"]
    for turn in dialogue.turns:
        sentence = SENTENCES[int(rng.integers(len(SENTENCES)))]
        lines.append(f"{turn.key} [{turn.start_s:08.4f}-{turn.end_s:08.4f}]: {sentence}\n")
    return "".join(lines)


def rater_files(dialogue: Dialogue, by_key: dict[str, Opinions]) -> dict[str, str]:
    """Return path -> text of the raters' own files below EmoEvaluation, which repeat the label file."""
    out = {}
    for rater in CATEGORICAL:
        rows = [f"{key} :{_listed(opinion.votes[rater])} ()\n" for key, opinion in by_key.items()]
        out[f"Categorical/{dialogue.name}_{rater.lower()}_cat.txt"] = "".join(rows)
    for rater in DIMENSIONAL:
        rows = [f"{key} :{_rated(opinion.ratings[rater])} ()\n" for key, opinion in by_key.items()]
        out[f"Attribute/{dialogue.name}_{rater.lower()}_atr.txt"] = "".join(rows)
    for rater in sorted({f"{turn.speaker}1" for turn in dialogue.turns}):
        rows = [
            f"{key} :{_listed(opinion.votes[rater])} ()\n" for key, opinion in by_key.items() if rater in opinion.votes
        ]
        out[f"Self-evaluation/{dialogue.name}_{rater[0].lower()}_cat.txt"] = "".join(rows)
    return out


def _rated(rating: tuple[int, int, int]) -> str:
    return f"act {rating[1]}; :val {rating[0]}; :dom  {rating[2]};"
