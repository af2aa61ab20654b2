"""The 92 faults of the reliability plan: what they are, and how far tests cover them.

The number of a fault is in the names of its tests (test_t36_...); their marker `red_when` names the mutations that made
them fail. `python -m tests.faults.catalogue` prints both lists.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault. `state`: covered, partly, elsewhere (tests without the number) or not; `clauses`: what is checked."""

    title: str
    state: str = "covered"
    note: str = ""
    clauses: str = ""


FAULTS = {
    1: Fault(
        "kill -9 inside a shard",
        note="50 byte positions and kills at random times in `make test-all`; nothing of a killed run is left",
        clauses=(
            "At random bytes, also again and again, and in each of the last files that staging writes: what is "
            "left is no data set, the rerun gives the undisturbed bytes and leaves no temporary anywhere in the "
            "project. At random times (`python -m bench.kills`): no process left alive, no name with half its "
            "bytes, no lock that a person must delete, `work/` clean after `foalnet gc`. Training, killed in the "
            "same way, ends with the same bytes (`test_kill_storm.py`)."
        ),
    ),
    2: Fault(
        "kill -9 between last shard and index",
        clauses=(
            "No index, so no data set; the rerun writes the index, and the account of staging, which every run "
            "writes, and no other file of the project."
        ),
    ),
    3: Fault(
        "kill -9 during renames",
        clauses=(
            "100 kills at any moment of publishing a file alone and three that are one thing: every name whole, "
            "the three of one generation; what is left goes with the next run, and nothing of a living writer "
            "does."
        ),
    ),
    4: Fault(
        "disk full at four levels",
        clauses=(
            "At 0, 25, 50 and 99 % of what staging writes in all, of one publishing of shards, of a fold's state,"
            " of a model, of manifest, scores and page: exit 4 with the bytes free and, where known, needed; the "
            "earlier generation byte by byte as it was and readable; no temporary left; the rerun has the "
            "undisturbed bytes. By a layer between Python's files and the disk (`disks.py`), and on a disk of the"
            " test's own where the user may mount one."
        ),
    ),
    5: Fault(
        "read-only output",
        clauses=(
            "Every verb asks first, by writing; also where modes say nothing (a read-only disk, root) and where a"
            " folder cannot be made. The kernel's own answer is asked by a process that gave root's rights up, "
            "and on a read-only disk where the user may mount one."
        ),
    ),
    6: Fault(
        "power cut",
        clauses=(
            "Every state that the disk can be found in while staging, publishing and training write: after each "
            "step, each folder's unsynced names kept or lost, unsynced bytes lost."
        ),
    ),
    7: Fault(
        "two `shards` runs at once",
        note="in `make test-all`",
        clauses=(
            "Of two corpora over one work folder: the first test. Of one corpus, and beside two flows (T8), see "
            "`flows/test_staging.py`; a laptop and a server: T9. One works, the other ends with 4 and names its "
            "pid; the bytes are those of a run alone, and of a run after both. Of one corpus: one works, the "
            "other ends with 4 and names it; of two corpora over one work folder: both work. Each has the bytes "
            "of a run alone. A laptop and a server: T9."
        ),
    ),
    8: Fault(
        "two flows and a `dvc repro`",
        note="in `make test-all`",
        clauses=(
            "Whoever is turned away says why; the shards and the lock are those of one run alone. All three at "
            "once, whoever is turned away runs again: shards and lock of one run alone."
        ),
    ),
    9: Fault(
        "stale lock, foreign lock",
        clauses=(
            "A dead process' lock is taken over and said; a live one names process, host and start; what another "
            "machine did not release is refused. The other machine is played by a process with another name and "
            "another run of the kernel."
        ),
    ),
    10: Fault("Ctrl-C at 20 points of training"),
    11: Fault(
        "one worker killed for its memory",
        note="the kernel's own killer is stood in for by signal 9, and by a worker that finds no memory",
        clauses=(
            "Real workers and a real signal 9: tried once more, then exit 4 and a ledger of what failed, the "
            "others kept. A worker that finds no memory counts alike."
        ),
    ),
    12: Fault(
        "clock jumps backwards",
        clauses=(
            "Files of any time and a clock that falls a day at every look: the same bytes and the same decisions "
            "on what is done."
        ),
    ),
    13: Fault("cancel while torchrun trains"),
    14: Fault(
        "a dead worker is seen, a slow one is not",
        clauses=(
            "Worker, flow and stage are killed: Crashed within the window (10 s, the shortest that the server "
            "takes) and the server's next look. A stage of ten windows stays Running."
        ),
    ),
    15: Fault(
        "damaged training state",
        clauses="The rest of T15 has its own tests; here: a whole state that is another fold's.",
    ),
    16: Fault("code edited during a stage"),
    17: Fault("dirty tree, unfinished merge"),
    18: Fault(
        "truncated AVI",
        clauses=(
            "Sound kept, what is missing masked `video_truncated` (all of it: `video_missing`) and counted by "
            "frame and utterance, what came before byte-equal: the first test, at 10, 50 and 90 %. The others: "
            "cuts in index and header, a hole in the middle, a MOV; whatever bytes are altered, decoding inside "
            "the worker and ffmpeg's process give the same."
        ),
    ),
    19: Fault(
        "zero-byte AVI",
        clauses=(
            "Every utterance kept with its sound and slots, masked and counted; the dialogue counted "
            "`video_unreadable`; the other dialogue byte-equal."
        ),
    ),
    20: Fault("text renamed AVI", clauses="As T19; no path of the machine in the account."),
    21: Fault(
        "wrong rate in the header",
        clauses=(
            "Times from the stamps, whichever of the AVI's two rates is wrong; counted `video_rate_differs`. "
            "33,333 microseconds for 29.97 frames/s, or none at all, is no fault. A rate that is wrong in both "
            "places alike cannot be seen in the file."
        ),
    ),
    22: Fault("variable rate", clauses="Count by time, and each slot's picture is the frame of its stamp."),
    23: Fault(
        "missing AVI",
        clauses=(
            "All utterances `video_missing` in manifest and staging; they are trained on and answered, each by "
            "its own sound."
        ),
    ),
    24: Fault(
        "shadow files",
        clauses=(
            "No byte of shards or account changes; counted in the inventory. tests/faults/test_labels_tree.py "
            "asks it of labels."
        ),
    ),
    25: Fault(
        "ten hours, 16,000 pixels",
        note="also sound: hours, rates and lengths that a header claims; and a picture that grows in the middle",
        clauses=(
            "Limits by header and by stamps; the verb in a process of its own: exit 3, file, stage and next "
            "action named, largest process below 2 GB. A picture that grows in the middle of a video is a frame "
            "that does not decode, in the worker and in ffmpeg. Sound whose header claims hours, no length or an "
            "impossible rate is dropped and counted."
        ),
    ),
    26: Fault(
        "playlist or script disguised",
        note="as AVI, MP4, WAV, FLAC; in staging and `predict`",
        clauses=(
            "No open of the secret file (inotify sees opens), no request at a loopback server, kept masked and "
            "counted. `test_t26_the_disguise_would_work_on_an_ffmpeg_left_to_itself` is the control: without our "
            "fences the disguise is played; nothing of ours can turn it red. The same of sound files, and at the "
            "doors of `foalnet predict`, where pipes, devices and links to nowhere are answered too."
        ),
    ),
    27: Fault(
        "odd file names",
        note="videos, sounds, tables; `predict` and `add-corpus`",
        clauses=(
            "They work: the tree under such a name gives the same bytes, single videos under nine names too, one "
            "of them not UTF-8; `predict` takes them, `add-corpus` writes them so that they are found again. Keys"
            " that a shard cannot carry are refused by tests/unit/test_manifest.py."
        ),
    ),
    28: Fault(
        "1 MB on stderr",
        note="ffmpeg's process; and the decoder in the worker says nothing",
        clauses=(
            "4 MB, more than any pipe here holds: same shards; the end of it stands in the error. What decodes "
            "inside the worker says nothing, whatever is wrong with the video."
        ),
    ),
    29: Fault(
        "hanging ffmpeg",
        note="and a hang of the decoder in the worker, or over what the video holds",
        clauses=(
            "What is decoded inside the worker cannot be killed: it is left at the timeout, and ffmpeg's process "
            "goes on from there. That is killed with its children at the timeout, tried once more, then exit 4 "
            "with file, stage, next action; the other dialogue is done and kept. The sound of a clip (`predict`) "
            "likewise."
        ),
    ),
    30: Fault(
        "two readers, same frames",
        clauses=(
            "PyAV against the wheel's ffmpeg: same count, difference of at most 4 levels, on drawn AVI, MPEG, MP4"
            " and on real clips (skipped without them)."
        ),
    ),
    31: Fault(
        "missing WAV",
        clauses="Cut from the dialogue's recording to the sample, told; missing in both places: `wav_missing`.",
    ),
    32: Fault(
        "WAV shorter than its label",
        clauses="By 1 sample, 20 ms, 50 %, and longer: used as it is, beyond the tolerance counted `length_differs`.",
    ),
    33: Fault(
        "header promises more",
        clauses="What exists is used; counted `wav_truncated`, and `length_differs` beyond the tolerance.",
    ),
    34: Fault(
        "other rates, channels, encodings",
        clauses=(
            "8 and 44.1 kHz, stereo, both at once: brought to one with a note each. 24 bits, 32 bits, float: the "
            "same sound, no note."
        ),
    ),
    35: Fault("NaN, Inf", clauses="Dropped `audio_nonfinite` with its place; the others untouched."),
    36: Fault(
        "silence, constant",
        clauses=(
            "Kept as it is; every audio encoder is finite in statistics, answer and gradient on a fold of nothing else."
        ),
    ),
    37: Fault(
        "impossible times",
        clauses=(
            "Empty, negative, reversed: dropped by the manifest. Cut from a recording that ends up to 0.5 s "
            "before the label: clamped; earlier: dropped. All counted."
        ),
    ),
    38: Fault("very short clips", clauses="Padded to 400 and told; every audio encoder is finite and has a step."),
    39: Fault(
        "a minute",
        clauses="The shard holds all of it; training cuts sound and picture to `max_s` and counts it.",
    ),
    40: Fault(
        "bytes that are not UTF-8, marks, line ends",
        note="UTF-16 is read where its mark stands; tables of another encoding are refused",
        clauses=(
            "Label files, transcripts, feature tables: the same utterances, or refused by file and line; UTF-16 "
            "where its mark stands."
        ),
    ),
    41: Fault(
        "one utterance twice",
        clauses=(
            "Agreeing lines give one utterance and are counted; disagreeing ones, and a line in another "
            "dialogue's file, are not used and named."
        ),
    ),
    42: Fault("unknown label", clauses="The utterance stays in the manifest with its reason."),
    43: Fault(
        "label without WAV, WAV without label",
        clauses="Cut from the dialogue, or dropped by name against the contract; the reverse is named.",
    ),
    44: Fault(
        "fewer sessions",
        note="counted by name; two groups give no folds",
        clauses="Each count that differs by name, exit 3; a person may state what is there; two groups give no folds.",
    ),
    45: Fault(
        "one short of 5,531",
        note="on the real list of utterances where it lies beside the checkout, else on a small tree",
        clauses=(
            "Exit 3 with the missing utterance, whatever trace of it is left; on the real list of utterances too "
            "(skipped without it)."
        ),
    ),
    46: Fault("who speaks in `Ses01F_impro01_M003`", clauses="The letter of the utterance's own suffix."),
    47: Fault(
        "order of files",
        note="100 permutations in `make test-all`, 10 in `make test`",
        clauses="Listings shuffled, 10 times or 100: the same bytes; the reader alone with its files shuffled too.",
    ),
    48: Fault(
        "locales",
        clauses=(
            "Inventory, manifest, shards, account and report under C without UTF-8 and umask 077, under a Turkish"
            " locale in ISO-8859-9 compiled for the test and umask 000, and with every text file of ours that is "
            "opened without an encoding made an error."
        ),
    ),
    49: Fault(
        "links that escape, loops",
        clauses=(
            "Out of the tree, nowhere, to itself, by another link: refused by name, nothing opened; within the "
            "tree the file it leads to. Pipes are waited for by nobody. `add-corpus` answers for such roots."
        ),
    ),
    50: Fault(
        "no face",
        clauses="In no frame, in the first part, in every second frame: slots kept, `no_face` counted, gaps bridged.",
    ),
    51: Fault(
        "two faces",
        clauses="The one in the middle though the other is larger; of two in the middle the larger.",
    ),
    52: Fault(
        "swap in the middle",
        clauses="Not followed; frames on which only somebody else was seen are counted as jumps.",
    ),
    53: Fault("face at the border", clauses="Padded with the picture's edge, exact size."),
    54: Fault(
        "detector breaks down",
        clauses=(
            "Raises, None, NaN, inside out: frames masked, `detector_failed` counted, sound and half pictures "
            "byte-equal; one bad frame costs that frame alone."
        ),
    ),
    55: Fault("sides"),
    56: Fault(
        "batches of detectors",
        note="`sfd` with random weights where its own are not at hand",
        clauses=(
            "Crops byte-equal for batches of 1, 2, 3, all, forwards and backwards, by haar, blazeface and yunet "
            "(skipped without their weights and real heads). sfd: random weights in the published layout; with "
            "its published weights the first test runs too where they lie."
        ),
    ),
    57: Fault("side audit", note="real heads where they lie beside the checkout"),
    58: Fault(
        "truncated shard",
        note="at every 256th byte; and by a verb",
        clauses=(
            "At every 256th byte: shard, first key that is not whole, dialogue; the verb `train` refuses before "
            "its first step. Every cut of a shard names shard and key (`test_shards_damage.py`); here: any file "
            "that stages read, cut anywhere, is refused by its name."
        ),
    ),
    59: Fault(
        "header flip",
        clauses=(
            "Five bytes of each member's header. By a verb: "
            "`test_t58_t59_t60_t63_training_refuses_by_name_before_its_first_step`."
        ),
    ),
    60: Fault(
        "payload flip",
        note="payload, padding, end mark",
        clauses=(
            "Payload, padding, end mark. By a verb: as T59. One bit of any file that stages read; every fault of "
            "a shard folder in one list, with its dialogue and first damaged key."
        ),
    ),
    61: Fault(
        "wrong members, wrong names",
        clauses=(
            "Refused though the index vouches for the tar. `test_t61_the_forger_can_forge_what_is_right` is the "
            "control: an honest forgery is read."
        ),
    ),
    62: Fault(
        "pickle",
        note="as a member, in a table of features",
        clauses="As a member, refused by reader and writer; inside a table of features, never loaded.",
    ),
    63: Fault(
        "extra or missing shard",
        clauses=(
            "Both by name, and every one of several. By a verb: as T59. Shards against their index "
            "(`test_shards_damage.py`); here: any file that stages read, exchanged, deleted, copied or renamed."
        ),
    ),
    64: Fault(
        "fewer shards than workers x ranks",
        clauses=(
            "No shard is dealt to anybody: every process reads all shards and takes its part of each batch by "
            "key, and no more workers start than there are dialogues. So there is nothing to refuse."
        ),
    ),
    65: Fault(
        "empty session",
        clauses=(
            "Without a usable utterance: counted with 0. Known to the contract and absent: named, exit 3. Lost "
            "whole by staging: the fold's part is named, exit 3, nothing is trained."
        ),
    ),
    66: Fault("masks and padding"),
    67: Fault("batch of one, of one class, the last"),
    68: Fault("losses by hand"),
    69: Fault("gradients"),
    70: Fault("NaN in a sample"),
    71: Fault("eight clips by heart"),
    72: Fault("shuffled labels"),
    73: Fault(
        "session as only feature",
        clauses="Every clip of a session the same clip under another name: chance, for each kind of network.",
    ),
    74: Fault(
        "the same seed twice",
        state="partly",
        note="on a CPU, with other workers and elsewhere; no test runs on a GPU, and none compares two GPUs",
        clauses="On a CPU, elsewhere and with other workers, the same bytes. No test runs on a GPU.",
    ),
    75: Fault(
        "data order, one or two workers",
        note="the order is a function of seed, fold and epoch; there are no loader workers to differ",
    ),
    76: Fault("one process or two"),
    77: Fault("resume at every epoch"),
    78: Fault("reduced precision"),
    79: Fault("metrics"),
    80: Fault("intervals hold the truth", note="the whole simulation in `make test-all`"),
    81: Fault("the report"),
    82: Fault("what is tried again"),
    83: Fault("no Prefect server"),
    84: Fault("small results"),
    85: Fault(
        "remote down on push",
        clauses=(
            "The data is kept, the run is marked unpushed where a user sees it (answer, artifact, `foalnet "
            "champion`, `foalnet doctor`), the next run pushes; a folder that vanished, one that cannot be "
            "written, a killed push, a project without git, a bucket that does not answer. Every object is read "
            "before it is pushed: altered, or neither in the cache nor in the remote, it is named and the mark "
            "stays. What is said of a run is of this run; each other marked run is tried."
        ),
    ),
    86: Fault(
        "corrupted object of a remote",
        clauses=(
            "`foalnet verify --remote` names the file, the object and both digests of an altered byte, and a "
            "missing object; without `--remote` an altered object of the cache, which DVC trusts while it is "
            "read-only, and what `dvc pull` took in altered."
        ),
    ),
    87: Fault("wrong weights"),
    88: Fault("offline after the first fetch"),
    89: Fault(
        "install, real flow, scheduled run",
        note="in `make test-all`; an empty environment is filled from constraints.txt, which needs a package index",
    ),
    90: Fault("no secrets"),
    91: Fault("quick, quiet import"),
    92: Fault(
        "fuzz",
        clauses=(
            "Bytes, text and JSON made from sound input by Hypothesis: typed errors only, no answer later than a "
            "minute, and rules that hold of whatever is accepted (`tests/fuzz/`); `make fuzz` does it for long "
            "and prints how many inputs were tried."
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Marked:
    """One test with fault numbers in its name; `mutations`: (file, mutation, case) of its markers."""

    file: str
    name: str
    numbers: tuple[int, ...]
    mutations: tuple[tuple[str, str, str], ...]


@cache
def marked_tests() -> tuple[Marked, ...]:
    """Return every test that has a fault's number in its name or a marker `red_when`, sorted by file and name."""
    marked = []
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                numbers = tuple(int(n) for n in re.findall(r"t(\d+)_", re.match(r"test_((?:t\d+_)*)", node.name)[1]))  # type: ignore[index]
                calls = [each for each in node.decorator_list if isinstance(each, ast.Call)]
                mutations = tuple(_mutation(each) for each in calls if ast.unparse(each.func) == "red_when")
                if numbers or mutations:
                    file = path.relative_to(TESTS).as_posix()
                    marked.append(Marked(file, node.name, numbers, mutations))
    return tuple(sorted(marked, key=lambda each: (each.file, each.name)))


def _mutation(call: ast.Call) -> tuple[str, str, str]:
    file, mutation = (ast.literal_eval(each) for each in call.args)
    return file, mutation, next((ast.literal_eval(each.value) for each in call.keywords), "")


def coverage_page() -> str:
    """Return a table with a row per fault."""
    files: dict[int, set[str]] = defaultdict(set)
    for each in marked_tests():
        for number in each.numbers:
            files[number].add(each.file)
    lines = [
        "# The 92 faults and their tests",
        "",
        "`covered`: tests with the number check every clause. `partly`: the note says what is missing. `elsewhere`:",
        "tests without the number check it. `not`: no test. Paths are below `tests/`.",
        "",
        "| | fault | state | tests | note |",
        "|---|---|---|---|---|",
    ]
    for number, fault in FAULTS.items():
        names = ", ".join(f"`{file}`" for file in sorted(files[number]))
        lines.append(f"| T{number} | {fault.title} | {fault.state} | {names} | {fault.note} |")
    return "\n".join(lines) + "\n"


def mutations_page() -> str:
    """Return, by fault, the mutations that made its tests fail."""
    lines = [
        "# Mutations that made the tests of the faults fail",
        "",
        "Each test passed, then failed with the mutation alone; the mutation was then taken back. Paths of tests are",
        "below `tests/`, of mutations below `foalnet/`.",
    ]
    for number, fault in FAULTS.items():
        rows = [
            f"| `{each.file}::{each.name}{f'[{case}]' if case else ''}` | `{file}`: {mutation} |"
            for each in marked_tests()
            if number in each.numbers
            for file, mutation, case in each.mutations
        ]
        if rows:
            lines += ["", f"## T{number}: {fault.title}", ""]
            lines += [*([fault.clauses, ""] if fault.clauses else []), "| test | mutation |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(coverage_page())
    print(mutations_page())
