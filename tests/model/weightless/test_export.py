"""An export belongs to its weights, or is refused by name."""

from pathlib import Path

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from slipstick.errors import UserError
from slipstick.model.weightless.export import export, exported
from slipstick.model.weightless.replace import weightless_, weightless_mlps
from tests.model.weightless.vits import SMALL, images, small_vit

pytestmark = pytest.mark.usefixtures("one_thread")


def written(path: Path) -> tuple[VisionTransformer, VisionTransformer]:
    """A model as it was trained, and one that was binarised and exported."""
    models = []
    for _ in range(2):
        models.append(small_vit())
        weightless_(models[-1], [0, 2], SMALL, [images(16)])
    for mlp in weightless_mlps(models[1]).values():
        mlp.binarise_()
    export(models[1], path)
    return models[0], models[1]


def test_the_integers_of_a_trained_model_are_found_and_make_it_binary(tmp_path: Path) -> None:
    trained, binary = written(tmp_path / "net")
    assert list(exported(trained, tmp_path / "net")) == ["blocks.0.mlp", "blocks.2.mlp"]
    with torch.no_grad():
        assert torch.equal(trained(images(3, 5)), binary(images(3, 5)))


def test_integers_of_other_weights_are_refused(tmp_path: Path) -> None:
    trained, _ = written(tmp_path / "net")
    with torch.no_grad():
        trained.blocks[2].mlp.layers[0].tables[3, 1] *= -1
    with pytest.raises(UserError, match=r"^blocks\.2\.mlp: the integers of .* are not those of the model"):
        exported(trained, tmp_path / "net")


def test_integers_of_other_blocks_are_refused(tmp_path: Path) -> None:
    written(tmp_path / "net")
    with pytest.raises(UserError, match="has the MLPs blocks.0.mlp, blocks.2.mlp; the model's weightless ones are "):
        exported(small_vit(), tmp_path / "net")
