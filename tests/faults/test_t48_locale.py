"""T48: in any locale and with any umask: the same manifest, shards, account and report, to the byte.

A Turkish locale is compiled where the system has what it takes. Python asks a locale for one thing only, the encoding
of text whose encoding the program does not say; that is asked without a locale too: nothing of ours leaves it unsaid.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from foalnet.core.files import sha256_bytes
from tests.support import locales
from tests.support.corpus.staging import DIALOGUE
from tests.support.marks import red_when

REPOSITORY = Path(__file__).resolve().parents[2]
# Letters with another case in Turkish, letters outside ASCII, in both of the encodings that readers accept.
TRANSCRIPT = "I said: İstanbul ılık, ça va? naïve DÉJÀ VU — “quoted”"

STAGES = """
import json, os, pathlib, sys, warnings
sys.path.insert(0, {repository!r})
os.umask(int(sys.argv[3], 8))
home, root = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
warnings.filterwarnings("error", category=EncodingWarning, module="foalnet")
from tests.support.corpus.results import make_params, write_report
from tests.support.corpus.rows import make_utterances
from tests.support.corpus.staging import Place
from foalnet.core.files import sha256_bytes
from foalnet.evidence.report import build, headline

place = Place(home=home, root=root)
place.stage()
contents = place.bytes() | {{name: (home / name).read_bytes() for name in ("inventory.json", "manifest.jsonl")}}
params = make_params()
paths = write_report(home / "report", params)
build(params, paths)
for path in (paths.report_html, paths.report_md, paths.metrics):
    contents[path.name] = path.read_bytes()
print(json.dumps({{name: sha256_bytes(data) for name, data in sorted(contents.items())}}))
print(headline(paths).replace(str(home), ""), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def tree(sound_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree with transcripts that ASCII does not hold."""
    root = tmp_path_factory.mktemp("tree") / "root"
    shutil.copytree(sound_tree, root)
    transcript = next(root.rglob(f"transcriptions/{DIALOGUE}.txt"))
    transcript.write_bytes(transcript.read_text("utf-8").replace("Words of", TRANSCRIPT).encode())
    return root


def staged(home: Path, tree: Path, *options: str, umask: str = "022", **more: str) -> dict[str, str]:
    """Run the stages in a process of its own and return the digest of each output."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LC_") and name != "LANG"}
    command = [sys.executable, *options, "-c", STAGES.format(repository=str(REPOSITORY)), str(home), str(tree), umask]
    done = subprocess.run(command, env=kept | more, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    digests: dict[str, str] = json.loads(done.stdout)
    assert len(digests) > 6
    return digests


@pytest.fixture(scope="module")
def usual(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the stages give under UTF-8."""
    home = tmp_path_factory.mktemp("usual")
    digests = staged(home, tree, LC_ALL="C.UTF-8")
    manifest = (home / "manifest.jsonl").read_bytes()
    assert TRANSCRIPT.encode() in manifest and digests["manifest.jsonl"] == sha256_bytes(manifest)
    return digests


BARE = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.long
@red_when("core/files.py", "files are written as text in the locale's encoding")
def test_t48_without_a_locale_and_with_a_tight_umask_the_bytes_are_the_same(
    tree: Path, usual: dict[str, str], tmp_path: Path
) -> None:
    assert staged(tmp_path, tree, umask="077", LC_ALL="C", **BARE) == usual


@pytest.fixture(scope="module")
def turkish(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a Turkish locale with its own 8-bit encoding, compiled for this test."""
    environment = locales.turkish(tmp_path_factory.mktemp("locales"), "ISO-8859-9")
    if environment is None:
        pytest.skip("this system cannot compile a Turkish locale (localedef and its sources, package `locales`)")
    return environment | BARE


@red_when("core/files.py", "files are written as text in the locale's encoding")
@pytest.mark.long
def test_t48_in_turkish_and_with_no_umask_the_bytes_are_the_same(
    tree: Path, usual: dict[str, str], turkish: dict[str, str], tmp_path: Path
) -> None:
    code = "import locale; locale.setlocale(locale.LC_ALL, ''); print(locale.getencoding(), locale.str(0.5))"
    said = subprocess.run([sys.executable, "-c", code], env=os.environ | turkish, capture_output=True, check=True)
    assert said.stdout.split() == [b"ISO-8859-9", b"0,5"], "the locale is in force"
    assert staged(tmp_path, tree, umask="000", **turkish) == usual


@pytest.mark.long
@red_when("core/files.py", "files are written as text in the locale's encoding")
def test_t48_nothing_of_ours_leaves_an_encoding_to_the_locale(
    tree: Path, usual: dict[str, str], tmp_path: Path
) -> None:
    """What any other locale would change, simulated: each text file of ours opened without an encoding is an error."""
    assert staged(tmp_path, tree, "-X", "warn_default_encoding", umask="027", LC_ALL="C.UTF-8") == usual


@red_when("cli/main.py", "a letter that the encoding lacks is an error")
@pytest.mark.parametrize("where", ["ascii", "turkish"])
def test_t48_a_letter_that_the_terminal_lacks_ends_no_verb(where: str, request: pytest.FixtureRequest) -> None:
    more = {"LC_ALL": "C", **BARE} if where == "ascii" else request.getfixturevalue("turkish")
    code = (
        "import sys, click; from foalnet.cli import main\n"
        "sys.modules['foalnet.cli.main'].cli.main = lambda **_: click.echo('said: \\u00b1 \\u2192 \\u0130')\n"
        "sys.modules['foalnet.cli.main'].main()"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)} | more
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.returncode == 0 and done.stdout.startswith(b"said: "), done.stderr
