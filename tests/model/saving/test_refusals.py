"""What is damaged, foreign or of another model is refused in one line, and nothing is half-written or half-loaded."""

import copy
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from slipstick.errors import UserError
from slipstick.model.convert import load_converted, save_converted, table_layers
from slipstick.model.saving import file
from slipstick.rtl.cells import cell
from slipstick.rtl.cells.cell import Cell
from tests.model.saving.test_converted import UNIFORM, converted, plain, reused, vit


def test_a_cell_that_is_another_here_is_refused_by_name(tmp_path: Path) -> None:
    other = cell("drum8s_k4")
    model = converted("vit", {"default": Cell("drum8s_k3", other.family, other.signed, other.netlist)})
    save_converted(model, tmp_path / "model")
    with pytest.raises(UserError, match="cell 'drum8s_k3' is another one here than in the file"):
        load_converted(plain("vit"), tmp_path / "model")


def rewritten(path: Path, change) -> Path:
    """A copy whose manifest ``change`` edited, sealed anew."""
    manifest, tensors = file.read(path)
    change(manifest)
    own = path.with_name("changed")
    file.write(own, manifest, tensors)
    return own


def swap_gate(manifest: dict) -> None:
    one = next(one for one in manifest["cells"] if one["name"] == "truncated8s_k7")
    one["gates"][0][0] = 1 - one["gates"][0][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (swap_gate, "cell 'truncated8s_k7': its netlist is not that of its digest"),
        (lambda manifest: manifest.update(format=2, slipstick="9.1"), "is of format 2, written by slipstick 9.1"),
        (lambda manifest: manifest.pop("layers"), "no whole converted model.*layers"),
        (lambda manifest: manifest["conversion"].update({"class": "os:system"}), "unknown class os:system"),
    ],
)
def test_a_changed_manifest_is_refused(change, message: str, tmp_path: Path) -> None:
    save_converted(converted("vit", UNIFORM), tmp_path / "model")
    model = plain("vit")
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(UserError, match=message):
        load_converted(model, rewritten(tmp_path / "model", change))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("damage", ["cut", "empty", "bit", "manifest", "foreign", "text", "missing", "folder"])
def test_a_damaged_or_foreign_file_is_one_line_that_names_it(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "model"
    save_converted(converted("vit", UNIFORM), path)
    data = path.read_bytes()
    middle = len(data) * 3 // 4
    if damage == "cut":
        path.write_bytes(data[:-20])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "bit":
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :])
    elif damage == "manifest":
        path.write_bytes(data.replace(b"-128", b"-127", 1))
    elif damage == "foreign":
        save_file({"weight": torch.ones(2)}, path)
    elif damage == "text":
        path.write_text(json.dumps({"model": 1}))
    else:
        path.unlink()
        if damage == "folder":
            path.mkdir()
    model = plain("vit")
    with pytest.raises(UserError) as caught:
        load_converted(model, path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert not table_layers(model)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=1, num_heads=3, num_classes=5),
         "blocks.1.norm1.weight' is .24,., in this VisionTransformer it is missing"),
        (lambda: VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=3, num_classes=7),
         "'head.weight' is .5, 24., in this VisionTransformer it is .7, 24."),
        (lambda: nn.Sequential(nn.Linear(3, 3)), "in this Sequential it is missing"),
        (reused, "another structure"),
        (lambda: converted("vit", {}), "is converted already"),
    ],
)  # fmt: skip
def test_another_model_is_refused_and_told_where_it_differs(model, message: str, tmp_path: Path) -> None:
    save_converted(converted("vit", UNIFORM), tmp_path / "model")
    with pytest.raises(UserError, match=message):
        load_converted(model(), tmp_path / "model")


def test_only_converted_models_are_saved_and_never_half(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="was not converted by approximate_"):
        save_converted(vit(), tmp_path / "model")
    model = converted("vit", {})
    with pytest.raises(UserError, match=r"cannot write .*file/model"):
        (tmp_path / "file").write_text("")
        save_converted(model, tmp_path / "file" / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
