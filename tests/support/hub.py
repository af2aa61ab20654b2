"""Small random checkpoints in the hub's own layout, as transformers writes them: what the real weights look like here.

`write_wavlm`, `write_clip` fill a folder; `use` pins its files in the catalogue, as a published revision is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from foalnet.config import Settings
from foalnet.core.files import sha256_file
from foalnet.encoders import CATALOGUE, Pretrained, open_weights, transformers_offline
from foalnet.encoders.catalogue import PICKLE, SAFE
from foalnet.encoders.fetch import record_weights

FRONT = {"conv_dim": (16, 16, 16, 16, 16, 16, 16), "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
WAVLM: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "mask_time_prob": 0.0,
    "layerdrop": 0.0,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "activation_dropout": 0.0,
    **FRONT,
}
# As the published sets differ: base has group norm and raw sound, large has layer norm and unit variance.
BASE = {"feat_extract_norm": "group", "do_stable_layer_norm": False}
LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}


def needs_transformers() -> None:
    """Skip, with the reason, where the extra `hf` is not installed."""
    pytest.importorskip("transformers", reason="pretrained encoders need the extra `hf`: pip install -e '.[hf]'")


def write_wavlm(folder: Path, name: str, *, pickle: bool = False, **over: Any) -> None:
    """Write a random WavLM of two layers with its preprocessor config."""
    import torch

    transformers = transformers_offline()
    large = name == "wavlm_large"
    config = transformers.WavLMConfig(**(WAVLM | (LARGE if large else BASE) | over))
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = transformers.WavLMModel(config)
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.02 * torch.randn_like(p))
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=large, return_attention_mask=large)
    _save(folder, model, extractor, pickle=pickle)


def write_clip(folder: Path, *, pickle: bool = False, dims: int = 6) -> None:
    """Write a random CLIP, text and vision, whose picture features have `dims` numbers."""
    import torch

    transformers = transformers_offline()
    vision = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.CLIPConfig(
        text_config={**vision, "vocab_size": 40, "projection_dim": dims},
        vision_config={**vision, "image_size": 32, "patch_size": 8, "projection_dim": dims},
        projection_dim=dims,
    )
    with torch.random.fork_rng():
        torch.manual_seed(6)
        model = transformers.CLIPModel(config)
    processor = transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    _save(folder, model, processor, pickle=pickle)


# Words of the texts in tests, and pieces of them.
VOCABULARY = ("well", "go", "home", "no", "why", "not", "so", "alone", "great", "fun", "get", "out", "i", "do", "know")


def write_text(folder: Path, name: str, *, dims: int = 8) -> None:
    """Write a random BERT or RoBERTa of two layers with its tokenizer, for 40 tokens at most."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    transformers = transformers_offline()
    roberta = name == "roberta"
    special = ["<s>", "<pad>", "</s>", "<unk>"] if roberta else ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = {token: number for number, token in enumerate([*special, *VOCABULARY])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=special[3] if roberta else special[1]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    shape = {
        "hidden_size": dims, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2,
        "vocab_size": len(words), "max_position_embeddings": 42 if roberta else 40,
    }  # fmt: skip
    config = transformers.RobertaConfig(**shape) if roberta else transformers.BertConfig(**shape)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        # As published: RoBERTa with the head of its masked words, and without a pooler.
        model = transformers.RobertaForMaskedLM(config) if roberta else transformers.BertModel(config)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))


def _save(folder: Path, model: Any, processor: Any, *, pickle: bool) -> None:
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    if pickle:
        from safetensors.torch import load_file

        # Old checkpoints name the two halves of a weight norm as torch did then.
        halves = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
        state = {}
        for key, value in load_file(folder / SAFE).items():
            for new, old in halves.items():
                key = key.replace(new, old)
            state[key] = value
        torch.save(state, folder / PICKLE)
        (folder / SAFE).unlink()


def recorded(root: Path, name: str, **over: Any) -> Pretrained:
    """Write a random checkpoint below `root`, record it as a user's own, and open it."""
    if name.startswith("wavlm"):
        write_wavlm(root / name, name, **over)
    elif name.startswith("clip"):
        write_clip(root / name, **over)
    else:
        write_text(root / name, name, **over)
    settings = Settings(weights=root)
    said = list(record_weights(name, settings))
    digest = said[-1].rsplit(" ", 1)[-1].strip("`")
    return open_weights(name, settings, own=digest)


def pin(patch: pytest.MonkeyPatch, name: str, hub: Path) -> None:
    """Make a folder's files the published ones of a name, all digests pinned."""
    files = [PICKLE if (hub / PICKLE).exists() else SAFE, "config.json", CATALOGUE[name].prepares]
    entry = replace(CATALOGUE[name], files={file: sha256_file(hub / file) for file in files})
    patch.setitem(CATALOGUE, name, entry)


@contextmanager
def hub(name: str, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder as the hub serves a repository, on loopback: (address, paths asked for)."""
    entry, requests = CATALOGUE[name], []

    class Handler(SimpleHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            requests.append(self.path)
            start = f"/{entry.repository}/resolve/{entry.revision}/"
            path = folder / self.path.removeprefix(start)
            if not self.path.startswith(start) or not path.is_file():
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("X-Repo-Commit", entry.revision)
            self.send_header("ETag", f'"{sha256_file(path)}"')
            self.send_header("Content-Length", str(path.stat().st_size))
            self.end_headers()
            if body:
                self.wfile.write(path.read_bytes())

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Handler) as address:
        yield address, requests


@contextmanager
def serving(handler: type[SimpleHTTPRequestHandler]) -> Iterator[str]:
    """Serve on loopback for the time of the block: the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    # Polled often: whoever stops it waits that long.
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def read_config(folder: Path) -> Any:
    """Return a checkpoint's config."""
    return json.loads((folder / "config.json").read_text())
