"""Recorded tokens are those that reach an MLP, in order, and tell when its numbers are not the spec's."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from slipstick.model.weightless.export import to_spec
from slipstick.model.weightless.replace import weightless_, weightless_mlps
from slipstick.model.weightless.tokens import record_tokens
from tests.model.weightless.vits import SMALL, images, small_vit

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    found = small_vit()
    weightless_(found, [0, 2], SMALL, [images(16)])
    for mlp in weightless_mlps(found).values():
        mlp.binarise_()
    return found


def test_tokens_come_one_image_after_another(model: torch.nn.Module) -> None:
    both, one = record_tokens(model, images(2, 3)), record_tokens(model, images(2, 3)[1:])
    assert list(both) == ["blocks.0.mlp", "blocks.2.mlp"]
    for name, tokens in both.items():
        assert tokens.codes.shape == tokens.outputs.shape == (128, 16)
        assert tokens.codes.min() < 0 < tokens.codes.max()
        assert (tokens.codes[64:] == one[name].codes).mean() > 0.99  # a batch of another size may round otherwise


def test_the_module_gives_the_numbers_of_its_spec_and_no_others(model: torch.nn.Module) -> None:
    tokens = record_tokens(model, images(2, 3))
    for name, mlp in weightless_mlps(model).items():
        spec = to_spec(mlp, name)
        assert tokens[name].differences(spec) == 0
        entries = spec.entries.copy()
        entries[5, 3] ^= 1
        wrong = tokens[name].differences(replace(spec, entries=entries))
        assert wrong == int(np.asarray(spec.bits(tokens[name].codes))[:, 5].sum()) > 0
