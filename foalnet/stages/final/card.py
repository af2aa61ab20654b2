"""Builds the model card: facts sealed with the model, and their Markdown. It names the origin of each figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from foalnet.config import Params
from foalnet.config.blocks import encoders_from
from foalnet.core.markdown import escape, table
from foalnet.core.records import Utterance
from foalnet.evidence.metrics import METRICS
from foalnet.stages.final.ranges import DRAWN as DRAWN_NOTE
from foalnet.stages.final.ranges import OUTER

SCHEMA = 1
RULE = "median of the epochs that the folds chose on their dev parts, rounded up"
NOT_ITS_OWN = (
    "These figures are the folds': each fold's model was scored on speakers it had never met. This model is another "
    "one, trained on all of them, and has been scored on nothing."
)
# Of a named split with a fixed test part.
NOT_ITS_OWN_FIXED = (
    "These figures are those of another model, which was trained on the train part of the split alone. This model is "
    "trained on all parts, the test part included, and has been scored on nothing."
)
LIMITS = (
    "It recognises how raters labelled acted emotion in this corpus, not what a person feels: a face or a voice does "
    "not tell that.",
    "Other languages, ages, cultures, microphones and cameras were not in the data; expect less there.",
    "It always answers with one of its classes; it has none for 'none of these' or 'cannot tell'.",
    "Its probabilities are not calibrated.",
    "How its errors are spread over groups of people is not known: the corpus has too few speakers to tell.",
)
RANGES = {
    "loudness_dbfs": "loudness, RMS in dB of full scale",
    "duration_s": "duration, s",
    "face_px": "height of the face, pixels of the source picture",
}
NOT_FOR = (
    "deciding anything about a person: hiring, work, school, credit, insurance, police, borders, courts",
    "health: it is no diagnosis and no monitoring",
    "inferring emotion at work or in education, which the EU forbids (Regulation 2024/1689, Article 5)",
    "watching people who do not know of it or did not agree to it",
)


def card_facts(
    params: Params,
    utterances: Sequence[Utterance],
    *,
    chosen: Mapping[str, int],
    epochs: int,
    metrics: Mapping[str, Any],
    seconds: float,
    ranges: Mapping[str, Sequence[float]],
    machine: Mapping[str, Any],
    licence: str,
    drawn: bool,
) -> dict[str, Any]:
    """Return the card: what the model is, its training data (`utterances`, `seconds` of sound), and the folds' figures.

    `chosen`: fold -> the epoch it chose, from 1; `metrics`: the run's metrics.json; `ranges`: those of `final.ranges`;
    `machine`: where it was trained; `licence`: what the corpus may be used for; `drawn`: a program drew the corpus.
    """
    inputs, pooled = params.train.variant(params.final.variant).inputs, metrics["pooled"]
    named = metrics.get("train", {}).get("named_split")
    classes = list(params.manifest.classes)
    per_class = Counter(u.label for u in utterances)
    return {
        "schema": SCHEMA,
        "corpus": params.corpus,
        "reader": params.reader,
        "licence": licence,
        "variant": params.final.variant,
        "seed": params.final.seed,
        "classes": classes,
        "raw_labels": {name: list(raws) for name, raws in params.manifest.classes.items()},
        "hears": "audio" in inputs,
        "sees": params.train.picture if "video" in inputs else None,
        "reads": "text" in inputs,
        "longest_s": params.train.max_s,
        "data": {
            "utterances": len(utterances),
            "per_class": {name: per_class[name] for name in classes},
            "dialogues": len({(u.session, u.dialogue) for u in utterances}),
            "sessions": len({u.session for u in utterances}),
            "speakers": len({u.speaker for u in utterances}),
            "seconds": round(seconds, 1),
            "drawn": drawn,
            "ranges": {name: list(edges) for name, edges in ranges.items()},
        },
        "machine": dict(machine),
        "frozen": list(encoders_from(params.final.variant, params.train).values()),
        "epochs": {"folds": dict(sorted(chosen.items())), "rule": RULE, "trained": epochs},
        "out_of_fold": {
            "note": NOT_ITS_OWN_FIXED if _fixed(named) else NOT_ITS_OWN,
            "protocol": metrics["protocol"],
            "select": metrics["select"],
            "utterances": pooled["n"],
            **{name: pooled[name] for name in (*(metric.key for metric in METRICS), "recall")},
            **({"named_split": named} if named else {}),
            "over_folds": dict(metrics["over_folds"]),
        },
        "limits": list(LIMITS),
        "not_for": list(NOT_FOR),
    }


def card_md(card: Mapping[str, Any]) -> str:
    """Return the card as Markdown; a function of the facts alone."""
    data, epochs, scores, machine = card["data"], card["epochs"], card["out_of_fold"], card["machine"]
    senses = ["sound"] * card["hears"] + [f"picture ({card['sees']})"] * bool(card["sees"])
    senses += ["text"] * card.get("reads", False)
    named = scores.get("named_split")
    classes = [
        (name, ", ".join(card["raw_labels"][name]), data["per_class"][name], _percent(scores["recall"].get(name)))
        for name in card["classes"]
    ]
    lines = [
        f"# Model card: {escape(card['corpus'])}, {escape(card['variant'])}, seed {card['seed']}",
        "",
        f"Takes {' and '.join(senses)} of one utterance, its first {card['longest_s']:g} s, and gives a probability "
        f"to each of {len(card['classes'])} classes: {escape(', '.join(card['classes']))}.",
        "",
        "## Figures",
        "",
        f"**{escape(scores['note'])}**",
        "",
        f"Protocol {escape(scores['protocol'])}, epoch by {escape(scores['select'])}, {scores['utterances']} "
        f"utterances, each tested once{'' if _fixed(named) else ', by the one fold that had not seen its speaker'}.",
        "",
        *([_split(named), ""] if named else []),
        *table(("", "pooled %", "mean over folds %", "sd"), _figures(scores)),
        "",
        *table(("class", "raw labels", "utterances trained on", "recall of the folds %"), classes),
        "",
        "## Data",
        "",
        f"Corpus {escape(card['corpus'])} (reader {escape(card['reader'])}): {data['utterances']} utterances, "
        f"{data['seconds']:g} s of sound, {data['dialogues']} dialogues, {data['sessions']} sessions, "
        f"{data['speakers']} speakers.",
        "",
        *([f"**{DRAWN_NOTE[0].upper()}{DRAWN_NOTE[1:]}.**", ""] if data["drawn"] else []),
        f"{100 * (1 - 2 * OUTER):.0f} % of the utterances are within these; an answer says where a clip is not.",
        "",
        *table(
            ("", "from", "to"),
            [(says, *data["ranges"][name]) for name, says in RANGES.items() if name in data["ranges"]],
        ),
        "",
        f"Licence: {escape(card['licence'])}",
        "",
        "## Training",
        "",
        f"Epochs: {epochs['trained']}, on all {'parts' if _fixed(named) else 'sessions'}, no part held back and "
        f"nothing chosen; {epochs['rule']} "
        f"({escape(', '.join(f'{name} {epoch}' for name, epoch in epochs['folds'].items()))}).",
        "",
        *(
            [f"Its encoders are frozen, trained as {escape(' and '.join(card['frozen']))} on the same data.", ""]
            * bool(card.get("frozen"))
        ),
        f"Device {machine['device']}, threads {machine['threads']}; processor {escape(machine['processor'])}, "
        f"instructions {escape(machine['instructions'])}.",
        "",
        *limits_md(card),
    ]
    return "\n".join(lines) + "\n"


def _fixed(named: Mapping[str, Any] | None) -> bool:
    """Tell whether the folds are a named split's only one, with a fixed test part."""
    return named is not None and named["rule"] == "fixed"


def _split(named: Mapping[str, Any]) -> str:
    """Return the named split, whether its test speakers train, and how many counts differ from its own."""
    shared, wrong = named["test_speakers_in_training"], len(named["counts_differ"])
    speakers = (
        f"**{shared} of its {named['test_speakers']} test speakers, with {named['test_utterances_in_training']} "
        "utterances, are in the train part too: the figures do not show how well unseen people are recognised**"
        if shared
        else "no test speaker is in its train part"
    )
    differ = f" The corpus has other counts than the split ({wrong} differ)." if wrong else ""
    return (
        f"Split {escape(named['name'])} ({escape(named['source'])}; digest {named['digest'][:16]}): {speakers}.{differ}"
    )


def _figures(scores: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return a row per metric: its name, pooled over the folds, mean over them and deviation."""
    return [
        (metric.name, _percent(scores[metric.key]), *_mean(scores["over_folds"].get(metric.key)))
        for metric in METRICS
        if metric.key in scores
    ]


def limits_md(card: Mapping[str, Any]) -> list[str]:
    """Return a card's last sections: limits of the model, and uses that are excluded."""
    return [
        "## Limits",
        "",
        *(f"- {escape(line)}" for line in card["limits"]),
        "",
        "## Not to be used for",
        "",
        *(f"- {escape(line)}" for line in card["not_for"]),
    ]


def _mean(scores: Mapping[str, float] | None) -> tuple[str, str]:
    return ("-", "-") if scores is None else (f"{100 * scores['mean']:.1f}", f"{100 * scores['sd']:.1f}")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
