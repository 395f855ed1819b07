"""A model with weightless MLPs from its files gives the same numbers, or an error that names what does not fit."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from slipstick.errors import UserError
from slipstick.model.training.state import save_tensors
from slipstick.model.weightless.export import export
from slipstick.model.weightless.mlp import WeightlessConfig
from slipstick.model.weightless.replace import weightless_, weightless_mlps
from slipstick.model.weightless.restore import restore_
from tests.model.weightless.vits import SMALL, images, small_vit

pytestmark = pytest.mark.usefixtures("one_thread")


def written(folder: Path, config: WeightlessConfig = SMALL) -> tuple[VisionTransformer, Path, Path]:
    """A model, its export, and all its weights as they were before it was binarised."""
    model = small_vit()
    weightless_(model, [0, 2], config, [images(16)])
    with torch.no_grad():
        model.blocks[0].attn.proj.bias.add_(0.1)  # as if finetuned
    weights = folder / "weights.safetensors"
    save_tensors(weights, model.state_dict())
    for mlp in weightless_mlps(model).values():
        mlp.binarise_()
    export(model, folder / "integers")
    return model, folder / "integers", weights


@pytest.mark.parametrize("surrogate", ["window", "identity"])
def test_a_restored_model_gives_the_same_numbers(tmp_path: Path, surrogate: str) -> None:
    model, integers, weights = written(tmp_path, replace(SMALL, surrogate=surrogate))
    fresh = small_vit()
    specs = restore_(fresh, integers, weights)
    assert list(specs) == ["blocks.0.mlp", "blocks.2.mlp"] == list(weightless_mlps(fresh))
    with torch.no_grad():
        assert torch.equal(fresh(images(3, 5)), model(images(3, 5)))


def test_integers_of_other_weights_are_refused(tmp_path: Path) -> None:
    model, integers, weights = written(tmp_path)
    with torch.no_grad():
        model.blocks[2].mlp.layers[0].tables[3, 1] *= -1
    save_tensors(weights, model.state_dict())
    with pytest.raises(UserError, match=r"^blocks\.2\.mlp: the integers of .* are not those of the weights"):
        restore_(small_vit(), integers, weights)


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    _, integers, weights = written(tmp_path)
    with pytest.raises(UserError, match="not an export"):
        restore_(small_vit(), tmp_path / "nothing", weights)
    with pytest.raises(UserError, match="not a readable safetensors file"):
        restore_(small_vit(), integers, tmp_path / "nothing")
    save_tensors(weights, small_vit().state_dict())
    with pytest.raises(UserError, match=r"does not fit the model with the MLPs of .*: Missing key"):
        restore_(small_vit(), integers, weights)
