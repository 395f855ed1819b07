"""Images: the shipped packs, folders of a user's own, and the trained weights on them."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slipstick.errors import Notice, UnknownName, UserError
from slipstick.model.data import ASSETS, jpeg_files, read_folder, read_pack, shipped
from slipstick.model.evaluate import top1
from slipstick.model.zoo import load_model


@pytest.mark.parametrize(
    ("split", "count"), [("calibration", 256), ("search", 1000), ("validation", 1000), ("test", 10_000)]
)
def test_shipped_packs_decode_and_are_balanced(split: str, count: int) -> None:
    images = shipped(split)
    assert images.pixels.shape == (count, 32, 32, 3) and images.pixels.dtype == np.uint8
    assert np.ptp(np.bincount(images.labels)) <= 1 and len(images.classes) == 10


@pytest.mark.parametrize(("split", "source", "first"), [
    ("calibration", "train_", 0), ("search", "train_", 256), ("validation", "train_", 49_000), ("test", "test_", 0),
])  # fmt: skip
def test_shipped_images_are_the_original_files_byte_for_byte(split: str, source: str, first: int, shared: Path) -> None:
    own = list(jpeg_files(ASSETS / f"cifar10_{split}.npz"))
    every = list(jpeg_files(shared / "cifar10_jpeg.npz", source))
    assert own == every[first : first + len(own)]


def test_shipped_files_stay_below_eight_megabytes() -> None:
    assert sum(file.stat().st_size for file in ASSETS.iterdir()) < 8_000_000


def test_the_shipped_network_reaches_its_recorded_accuracy() -> None:
    curve = json.loads((ASSETS / "vit_cifar10.json").read_text())["curve"]
    assert curve[-1]["test"] >= 0.78
    some = shipped("test").balanced(1000)
    assert abs(top1(load_model(), some) - curve[-1]["test"]) < 0.03  # 1,000 of the 10,000 images
    assert abs(top1(load_model(), shipped("validation")) - curve[-1]["validation"]) < 0.002


def test_a_balanced_part_is_spread_over_all_classes_and_images() -> None:
    images = shipped("validation")
    few, every = images.balanced(100), images.balanced(5000)
    assert (np.bincount(few.labels) == 10).all() and np.array_equal(every.pixels, images.pixels)
    order = np.argsort(images.labels, kind="stable")  # as a folder of class folders has them
    assert (np.bincount(images[order].balanced(100).labels) == 10).all()
    places = [int(np.flatnonzero((images.pixels == one).all((1, 2, 3)))[0]) for one in few.pixels]
    assert places == sorted(places) and places[0] < 100 and places[-1] >= 900


def folder_of(tmp_path: Path, names: list[str]) -> Path:
    for number, name in enumerate(names):
        (tmp_path / name).mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", (40, 50 + i), (number * 20, 0, 0)).save(tmp_path / name / f"{i}.png")
    return tmp_path


def test_a_folder_is_read_cropped_and_labelled(tmp_path: Path) -> None:
    images = read_folder(folder_of(tmp_path, ["dog", "cat"]), 32)
    assert images.pixels.shape == (4, 32, 32, 3) and images.classes == ("cat", "dog")
    assert images.labels.tolist() == [0, 0, 1, 1] and images.pixels[0, 0, 0, 0] == 20


def test_numbered_folders_are_ordered_as_numbers(tmp_path: Path) -> None:
    assert read_folder(folder_of(tmp_path, ["10", "9", "1"]), 8).classes == ("1", "9", "10")


def test_bad_images_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        read_folder(tmp_path / "nowhere", 32)
    (tmp_path / "cat").mkdir()
    with pytest.raises(UserError, match="no image found; expected"):
        read_folder(tmp_path, 32)
    (tmp_path / "cat" / "broken.jpg").write_bytes(b"not an image")
    with pytest.raises(UserError, match="broken.jpg: not a readable image"):
        read_folder(tmp_path, 32)


def test_what_is_left_out_is_told_and_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        Image.new("RGB", (40, 40)).save(tmp_path / str(number) / "a.png")
    (tmp_path / "1" / "b.heic").write_bytes(b"x")
    (tmp_path / "1" / ".hidden").write_bytes(b"x")
    with pytest.warns(Notice, match=r"1 files of other kinds are left out, such as .*b\.heic; images end in .*\.png"):
        assert len(read_folder(tmp_path, 32)) == 2
    (tmp_path / "1" / "c.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(UserError, match=r"c\.png: not a readable image"):
        read_folder(tmp_path, 32)


def test_a_file_that_is_no_pack_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="x.npz: not a JPEG pack"):
        read_pack(tmp_path / "x.npz")


def test_unknown_models_and_weights_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown model 'vit_tinny_patch16_224'; near names: .*vit_tiny_patch16_224"):
        load_model("vit_tinny_patch16_224")
    with pytest.raises(UserError, match="does not fit VisionTransformer: lacks .*has unknown"):
        load_model("vit_tiny_patch16_224", ASSETS / "vit_cifar10.safetensors")
    (tmp_path / "weights.pt").write_bytes(b"\x80\x02}q\x00.")  # a pickle
    with pytest.raises(UserError, match="not a readable safetensors file .*pickles are refused"):
        load_model("vit-cifar10", tmp_path / "weights.pt")


def test_timm_models_take_their_own_size_and_normalisation() -> None:
    loaded = load_model("vit_tiny_patch16_224")
    pixels = np.zeros((1, 224, 224, 3), np.uint8)
    assert loaded.size == 224 and loaded.prepare(pixels).shape == (1, 3, 224, 224)
    assert float(loaded.prepare(pixels)[0, 0, 0, 0]) == pytest.approx(-1.0)  # mean 0.5, deviation 0.5


def test_jpeg_files_are_complete_images() -> None:
    assert Image.open(io.BytesIO(next(jpeg_files(ASSETS / "cifar10_test.npz")))).size == (32, 32)
