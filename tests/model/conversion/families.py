"""Tiny instances, with random weights, of the model families that conversion must cover."""

from collections.abc import Callable

import pytest
import timm
import torch
from timm.models.efficientvit_mit import EfficientVit
from timm.models.efficientvit_msra import EfficientVitMsra
from timm.models.gcvit import GlobalContextVit
from timm.models.volo import VOLO
from torch import nn

from slipstick.model.conversion.batch import Batch

CLASSES = 10


def images(size: int, count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def _vit(name: str, **options) -> nn.Module:
    return timm.create_model(name, pretrained=False, num_classes=CLASSES, img_size=32, depth=2, **options)


def _swin(name: str, size: int) -> nn.Module:
    options = {"img_size": size, "depths": (1, 2), "embed_dim": 24, "num_heads": (2, 4)}
    return timm.create_model(name, pretrained=False, num_classes=CLASSES, **options)


def _volo() -> nn.Module:
    widths = {"layers": (1, 1, 1, 1), "embed_dims": (24, 48, 48, 48), "num_heads": (2, 4, 4, 4)}
    return VOLO(img_size=64, num_classes=CLASSES, stem_hidden_dim=16, **widths)


def _gcvit() -> nn.Module:
    shape = {"depths": (1, 1, 1, 1), "embed_dim": 16, "num_heads": (1, 2, 2, 4), "window_ratio": (16, 16, 16, 32)}
    return GlobalContextVit(img_size=64, num_classes=CLASSES, **shape)


def _efficientvit_mit() -> nn.Module:
    widths = {"widths": (8, 8, 16, 16, 32), "depths": (1,) * 5, "head_dim": 8, "head_widths": (32, 32)}
    return EfficientVit(num_classes=CLASSES, **widths)


def _efficientvit_msra() -> nn.Module:
    shape = {"embed_dim": (16,) * 3, "key_dim": (4,) * 3, "depth": (1,) * 3, "num_heads": (2,) * 3}
    return EfficientVitMsra(img_size=64, num_classes=CLASSES, window_size=(2,) * 3, kernels=(3,) * 4, **shape)


def _bert(attention: str) -> nn.Module:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed; it is in the test group")
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        max_position_embeddings=32, attn_implementation=attention,
    )  # fmt: skip
    return transformers.BertForSequenceClassification(config)


def _tokens() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    lengths = torch.randint(4, 13, (8, 1), generator=generator)
    return {
        "input_ids": torch.randint(0, 50, (8, 12), generator=generator),
        "attention_mask": (torch.arange(12)[None] < lengths).long(),
    }


class Encoder(nn.Module):
    """``nn.TransformerEncoder`` with a padding mask and a head."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, 48, batch_first=batch_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=batch_first)
        self.head, self.batch_first = nn.Linear(32, CLASSES), batch_first

    def forward(self, tokens, padding):
        tokens = tokens if self.batch_first else tokens.transpose(0, 1)
        encoded = self.encoder(tokens, src_key_padding_mask=padding)
        encoded = encoded if self.batch_first else encoded.transpose(0, 1)
        return self.head(encoded.masked_fill(padding[..., None], 0).sum(1))


def _padded() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    padding = torch.arange(9)[None] >= torch.randint(4, 10, (6, 1), generator=generator)
    return {"tokens": torch.randn(6, 9, 32, generator=generator), "padding": padding}


FAMILIES: dict[str, tuple[Callable[[], nn.Module], Callable[[], Batch]]] = {
    "ViT": (lambda: _vit("vit_tiny_patch16_224"), lambda: images(32)),
    "DeiT": (lambda: _vit("deit_tiny_patch16_224"), lambda: images(32)),
    "DeiT distilled": (lambda: _vit("deit_tiny_distilled_patch16_224"), lambda: images(32)),
    "Swin": (lambda: _swin("swin_tiny_patch4_window7_224", 56), lambda: images(56)),
    "Swin v2": (lambda: _swin("swinv2_tiny_window8_256", 64), lambda: images(64)),
    "VOLO (outlook attention, as LV-ViT)": (_volo, lambda: images(64)),
    "GCViT": (_gcvit, lambda: images(64)),
    "EfficientViT (MIT)": (_efficientvit_mit, lambda: images(64)),
    "EfficientViT (MSRA)": (_efficientvit_msra, lambda: images(64)),
    "BERT, sdpa": (lambda: _bert("sdpa"), _tokens),
    "BERT, eager": (lambda: _bert("eager"), _tokens),
    "nn.TransformerEncoder": (lambda: Encoder(True), _padded),
    "nn.TransformerEncoder, time first": (lambda: Encoder(False), _padded),
}


def build(family: str) -> tuple[nn.Module, Batch]:
    """A model in float, always with the same weights, and a batch of inputs for it."""
    make, inputs = FAMILIES[family]
    torch.manual_seed(0)
    return make().eval(), inputs()
