"""Folders of images: which output of the model every folder is, never guessed."""

from pathlib import Path

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from slipstick.errors import UserError
from slipstick.model.classes import Classes, is_class_folder
from slipstick.model.data import read_folder, shipped_classes
from slipstick.model.zoo import check_shipped, load_model, wrap

HERE = Path("photos")


@given(st.sets(st.integers(0, 999), min_size=1, max_size=40))
def test_numbers_are_the_outputs_themselves(numbers: set[int]) -> None:
    assert Classes(1000).numbers(HERE, [str(n) for n in numbers]) == list(numbers)
    assert Classes(1000).numbers(HERE, [f"{n:04}" for n in numbers]) == list(numbers)


@given(st.sets(st.sampled_from(shipped_classes()), min_size=1), st.booleans())
def test_names_that_the_model_knows_are_its_classes(names: set[str], upper: bool) -> None:
    own = {label: number for number, label in enumerate(shipped_classes())}
    found = [name.upper() if upper else name for name in names]
    assert Classes(10, (own,)).numbers(HERE, found) == [own[name] for name in names]


def test_synsets_and_their_words_are_classes_of_imagenet() -> None:
    model = load_model("vit_tiny_patch16_224")
    info = timm.data.ImageNetInfo("imagenet-1k")
    labels = [info.index_to_label_name(number) for number in (3, 217, 999)]
    assert model.classes().numbers(HERE, labels) == [3, 217, 999]
    assert model.classes().numbers(HERE, ["tench", "English springer"]) == [0, 217]
    with pytest.raises(UserError, match="3 class folders, the model has 1000 outputs, and 'unicorn' is no class"):
        model.classes().numbers(HERE, ["tench", "goldfish", "unicorn"])


@pytest.mark.parametrize(
    ("outputs", "names", "message"),
    [
        (2, ["a", "b", "c"], "3 class folders, the model has 2 outputs"),
        (2, ["0", "1", "2"], "3 class folders, the model has 2 outputs"),
        (10, ["1", "10"], "folder 10 has no output in a model of 10, numbered 0 to 9"),
        (10, ["3", "03"], "folders 3 and 03 are the same class"),
        (3, ["0", "1", "cat"], "folder 0 is named by a number, 'cat' is not"),
        (10, ["cat", "dog"], "2 class folders, the model has 10 outputs; name every folder"),
        (3, ["²", "1", "2"], "folder 1 is named by a number, '²' is not"),
    ],
)
def test_what_is_not_clear_is_refused(outputs: int, names: list[str], message: str) -> None:
    with pytest.raises(UserError, match=f"photos: {message}"):
        Classes(outputs).numbers(HERE, names)


def test_as_many_names_as_outputs_are_in_alphabetical_order() -> None:
    assert Classes(3).numbers(HERE, ["ant", "bee", "cow"]) == [0, 1, 2]


LEFT_BEHIND = (".ipynb_checkpoints", "__MACOSX", ".git", "@eaDir", "$RECYCLE.BIN", "lost+found", "__pycache__")


def picture(path: Path, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (9, 9), value).save(path)


def test_what_tools_leave_behind_is_no_class_and_no_image(tmp_path: Path) -> None:
    for name in LEFT_BEHIND:
        assert not is_class_folder(name)
        picture(tmp_path / name / "a.png")
    for number, name in enumerate(("cat", "dog")):
        picture(tmp_path / name / "a.png", number)
        (tmp_path / name / "._a.png").write_bytes(b"what a Mac keeps beside a file")
        (tmp_path / name / "folder.png").mkdir()
        picture(tmp_path / name / ".ipynb_checkpoints" / "b.png")
    images = read_folder(tmp_path, 8, Classes(2))
    assert images.classes == ("cat", "dog") and images.labels.tolist() == [0, 1] == images.pixels[:, 0, 0, 0].tolist()


def test_labels_are_the_numbers_of_the_folders(tmp_path: Path) -> None:
    for name in ("217", "3"):
        picture(tmp_path / name / "a.png", int(name))
    images = read_folder(tmp_path, 8, Classes(1000))
    assert images.labels.tolist() == [3, 217] == images.pixels[:, 0, 0, 0].tolist()
    picture(tmp_path / "loose.png")
    with pytest.raises(UserError, match="loose.png: lies beside the class folders"):
        read_folder(tmp_path, 8, Classes(1000))


def test_folders_without_images_shift_nothing(tmp_path: Path) -> None:
    (tmp_path / "2").mkdir()
    picture(tmp_path / "7" / "a.png")
    assert read_folder(tmp_path, 8, Classes(10)).labels.tolist() == [7]
    (tmp_path / "2").rename(tmp_path / "bee")
    (tmp_path / "7").rename(tmp_path / "cow")
    with pytest.raises(UserError, match="bee: no image found"):
        read_folder(tmp_path, 8, Classes(2))


def test_calibration_needs_no_classes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        picture(tmp_path / name)
    assert len(read_folder(tmp_path, 8)) == 2


def test_shipped_images_are_for_models_of_their_size_and_classes() -> None:
    check_shipped(load_model())
    with pytest.raises(UserError, match="takes 224 x 224 images of 1000 classes, the shipped ones are 32 x 32 of 10"):
        check_shipped(load_model("vit_tiny_patch16_224"))
    for outputs in (nn.Flatten(0), nn.Sequential(nn.Flatten(), nn.Linear(192, 1))):
        with pytest.raises(UserError, match="top-1 needs classes"):
            wrap(outputs, 8, (0.5,) * 3, (0.5,) * 3).classes()
    assert torch.is_grad_enabled()
