"""Models that are not the shipped one: timm's by name, and any module, on a user's own pictures."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from slipstick.errors import UserError
from slipstick.flow.job import workbench
from slipstick.flow.job.verify import attention_layers, job
from slipstick.flow.job.workbench import load_images, open_workbench
from slipstick.model.zoo import LoadedModel, load_model, wrap
from slipstick.rtl.cells import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix, matmul


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        for number in range(12):
            pixels = rng.integers(0, 256, (40, 48, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number:02}.png")
    return tmp_path


def check_recordings(bench) -> None:
    """Every recorded product is what a plain integer loop over the exact table gives."""
    config = ArrayConfig(4, 4, CellMix.uniform(cell("exact8s"), rows=4, columns=4))
    for recording in bench.recordings.values():
        for product in (0, len(recording.activations) - 1):
            weights = recording.stationary[product % len(recording.stationary)]
            sums = matmul(config, recording.activations[product], weights) + recording.bias_of(product)
            np.testing.assert_array_equal(recording.accumulators[product], sums)
            np.testing.assert_array_equal(recording.outputs[product], recording.requant_of(product)(sums))


def test_a_timm_model_by_name_with_weights_of_its_own(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "weights.safetensors"
    module = load_model("test_vit").module
    module.reset_classifier(2)
    save_file(module.state_dict(), weights)
    loaded = load_model("test_vit", weights)
    bench = open_workbench(loaded=loaded, images=load_images(None, photos, loaded))
    assert {"patch_embed.proj", "blocks.0.attn.qk", "blocks.0.attn.av", "head"} <= bench.shapes.keys()
    images = bench.images
    assert [len(own) for own in (images.search, images.validation, images.test)] == [6, 6, 12]
    assert len(bench.right["fp32"]) == len(bench.right["int8"]) == 12
    assert attention_layers(bench.recordings) == tuple(f"blocks.0.attn.{part}" for part in ("qkv", "qk", "av"))
    check_recordings(bench)


def test_any_module_with_a_users_own_pictures(photos: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=4), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=4), nn.Flatten(), nn.Linear(72, 2)
    )
    bench = open_workbench(
        loaded=wrap(module, 20, (0.5,) * 3, (0.25,) * 3),
        images=load_images(None, photos, two_outputs()),
        judge_test=False,
    )
    assert not bench.right
    assert list(bench.shapes) == ["0", "2", "4"] and not bench.report.left_exact
    assert bench.shapes["2"].repeats == 4 and bench.shapes["2"].macs == 9 * 18 * 2 * 4
    assert bench.streams(4, 4, seed=0)["2"][0].activations.shape == (9, 4)
    assert bench.macs(4, 4)["0"] == 25 * 28 * 8  # 27 reduction rows padded to 28
    check_recordings(bench)


def two_outputs() -> LoadedModel:
    return wrap(nn.Sequential(nn.Flatten(), nn.Linear(1200, 2)), 20, (0.5,) * 3, (0.25,) * 3)


def test_calibration_pictures_come_from_every_class(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbench, "CALIBRATION_IMAGES", 5)
    images = load_images(None, photos, two_outputs())
    assert set(images.calibration.labels) == {0, 1} and len(images.calibration) == 5


def test_no_picture_serves_two_purposes(photos: Path) -> None:
    images = load_images(None, photos, two_outputs())
    for one, other in combinations((images.search, images.validation, images.test), 2):
        assert not {x.tobytes() for x in one.pixels} & {x.tobytes() for x in other.pixels}
    calibrating = {x.tobytes() for x in images.calibration.pixels}
    assert calibrating <= {x.tobytes() for x in images.search.pixels}


def test_too_few_pictures_and_too_many_to_test_are_refused(photos: Path) -> None:
    with pytest.raises(UserError, match="--test-images 13: there are only 12 test images"):
        load_images(None, photos, two_outputs(), 13)
    assert set(load_images(None, photos, two_outputs(), 4).test.labels) == {0, 1}
    for picture in sorted(photos.rglob("*.png"))[2:-1]:
        picture.unlink()
    with pytest.raises(UserError, match="3 images; at least 4 are needed"):
        load_images(None, photos, two_outputs())


def test_products_that_were_not_recorded_are_refused(photos: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    loaded = wrap(module, 20, (0.5,) * 3, (0.25,) * 3)
    bench = open_workbench(loaded=loaded, images=load_images(None, photos, two_outputs()), judge_test=False)
    with pytest.raises(UserError, match="product 99 was not recorded"):
        job(bench.recordings["0"], [0], product=99)
    assert len(job(bench.recordings["0"], [0]).activations) == 324  # more than accumulators: it goes in parts
