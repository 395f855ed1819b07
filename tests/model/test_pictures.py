"""Images of every kind that Pillow opens: the same picture, upright, with the grey it had, or a line that names it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slipstick.errors import UserError
from slipstick.model.pictures import read_picture, square

RAMP = np.linspace(0, 255, 64).round().astype(np.uint8).reshape(8, 8)
RGB = np.stack([RAMP, RAMP.T, 255 - RAMP], -1)


def saved(tmp_path: Path, image: Image.Image, name: str, **options) -> Path:
    image.save(tmp_path / name, **options)
    return tmp_path / name


GREY = {
    "8 bits.png": lambda: Image.fromarray(RAMP),
    "16 bits.png": lambda: Image.fromarray(RAMP.astype(np.uint16) * 257),
    "16 bits.tiff": lambda: Image.fromarray(RAMP.astype(np.uint16) * 257),
    "32 bits.tiff": lambda: Image.fromarray(RAMP.astype(np.int32) * 257),
    "float.tif": lambda: Image.fromarray(RAMP.astype(np.float32) / 255),
    "palette.png": lambda: Image.fromarray(RAMP).convert("P"),
    "with alpha.png": lambda: Image.fromarray(RAMP).convert("LA"),
    "of bytes.pgm": lambda: Image.fromarray(RAMP),
}


@pytest.mark.parametrize("name", GREY)
def test_grey_of_every_depth_is_the_same_grey(tmp_path: Path, name: str) -> None:
    got = np.asarray(read_picture(saved(tmp_path, GREY[name](), name)))
    assert got.shape == (8, 8, 3) and (got == RAMP[..., None]).all()


COLOUR = {
    "rgb.png": (lambda: Image.fromarray(RGB), 0), "rgb.webp": (lambda: Image.fromarray(RGB), 8),
    "rgba.png": (lambda: Image.fromarray(RGB).convert("RGBA"), 0),
    "cmyk.tiff": (lambda: Image.fromarray(RGB).convert("CMYK"), 1),
    "cmyk.jpg": (lambda: Image.fromarray(RGB).convert("CMYK"), 40),
    "ycbcr.tiff": (lambda: Image.fromarray(RGB).convert("YCbCr"), 4),
}  # fmt: skip


@pytest.mark.parametrize("name", COLOUR)
def test_colours_stay(tmp_path: Path, name: str) -> None:
    make, tolerance = COLOUR[name]
    options = {"lossless": True} if name.endswith("webp") else {}
    got = np.asarray(read_picture(saved(tmp_path, make(), name, **options))).astype(int)
    assert np.abs(got - RGB).max() <= tolerance


def test_bits_are_black_and_white_and_what_is_transparent_is_white(tmp_path: Path) -> None:
    bits = np.asarray(read_picture(saved(tmp_path, Image.fromarray(RAMP > 99), "bits.png")))
    assert (bits == np.where(RAMP > 99, 255, 0)[..., None]).all()
    alpha = np.dstack([RGB, np.where(RAMP > 99, 255, 0).astype(np.uint8)])
    got = np.asarray(read_picture(saved(tmp_path, Image.fromarray(alpha), "alpha.png")))
    assert (got == np.where((RAMP > 99)[..., None], RGB, 255)).all()
    palette = Image.fromarray(RGB).quantize(16)
    palette.save(tmp_path / "p.png", transparency=palette.getpixel((0, 0)))
    assert read_picture(tmp_path / "p.png").getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["rgb.jpg", "deep.png"])
def test_exif_turns_are_honoured(tmp_path: Path, turn: int, kind: str) -> None:
    values = RGB if kind == "rgb.jpg" else RAMP.astype(np.uint16) * 257
    values = np.repeat(np.repeat(values[:, :4], 8, 0), 8, 1)
    back = {1: lambda x: x, 2: np.fliplr, 3: lambda x: np.rot90(x, 2), 4: np.flipud, 5: lambda x: x.swapaxes(0, 1),
            6: np.rot90, 7: lambda x: np.rot90(x.swapaxes(0, 1), 2), 8: lambda x: np.rot90(x, 3)}  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = turn
    stored = Image.fromarray(np.ascontiguousarray(back[turn](values)))
    file = saved(tmp_path, stored, kind, exif=exif, **({"quality": 95} if kind == "rgb.jpg" else {}))
    got, wanted = np.asarray(read_picture(file)).astype(int), values if kind == "rgb.jpg" else values[..., None] // 257
    assert got.shape[:2] == wanted.shape[:2] and np.abs(got - wanted).mean() < 6


@pytest.mark.parametrize(("name", "make", "message"), [
    ("nan.tif", lambda: Image.fromarray(np.full((4, 4), np.nan, np.float32)), "grey from nan"),
    ("wide.tif", lambda: Image.fromarray(np.full((4, 4), 7.5, np.float32)), "grey from 7.5 to 7.5; 0 to 1"),
    ("negative.tiff", lambda: Image.fromarray(np.full((4, 4), -3, np.int32)), "grey from -3"),
])  # fmt: skip
def test_grey_of_unknown_range_is_refused(tmp_path: Path, name: str, make, message: str) -> None:
    with pytest.raises(UserError, match=f"{name}: not a readable image .{message}"):
        read_picture(saved(tmp_path, make(), name))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp", "a.bmp", "a.gif", "a.ppm"])
def test_a_file_cut_off_or_changed_anywhere_is_read_or_named_in_one_line(tmp_path: Path, name: str) -> None:
    file = saved(tmp_path, Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)), name)
    whole = file.read_bytes()
    rng = np.random.default_rng(1)
    refused = 0
    for case in range(60):
        data = bytearray(whole[: int(rng.integers(len(whole)))] if case % 2 else whole)
        for place in rng.integers(0, max(len(data), 1), 3 * (case % 2 == 0)):
            data[place] ^= 0xFF
        file.write_bytes(data)
        try:
            assert read_picture(file).mode == "RGB"
        except UserError as error:
            refused += 1
            assert name in str(error) and "\n" not in str(error)
    assert refused > 10


def test_too_many_pixels_are_one_line(tmp_path: Path, monkeypatch) -> None:
    file = saved(tmp_path, Image.new("L", (300, 300)), "huge.png")
    for limit in (50_000, 10_000):  # Pillow warns, or raises beyond twice the limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(UserError, match=r"huge.png: more than [\d,]+ pixels"):
            read_picture(file)
    with pytest.raises(UserError, match=r"narrow.png: 1000 x 1 pixels are too long"):
        square(Image.new("RGB", (1000, 1)), 32, Path("narrow.png"))
