"""One image file of any kind as 8-bit RGB, upright."""

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from slipstick.errors import UserError

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".avif"}
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, IndexError, OverflowError, struct.error,
           zlib.error)  # fmt: skip
DEEP = 65535  # largest value of 16-bit grey


def read_picture(file: Path) -> Image.Image:
    """The (first) image of a file as RGB, turned as its EXIF tag says, what is transparent on white.

    Grey of 16 bits is scaled to 8, of floats from 0 to 1. Raises UserError, naming the file, for one that cannot be
    read whole, that has more pixels than Pillow takes without a warning, or floats or integers of another range.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                return _as_rgb(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(
            f"{file}: more than {Image.MAX_IMAGE_PIXELS:,} pixels; scale it down or leave it out"
        ) from error
    except _BROKEN as error:
        raise UserError(f"{file}: not a readable image ({str(error).splitlines()[0] if str(error) else 'cut off'})") \
            from error  # fmt: skip


def square(image: Image.Image, size: int, name: Path) -> np.ndarray:
    """The middle of an image, its short side scaled to ``size``: uint8 [size, size, 3].

    Raises UserError for an image so long that scaling it would take more pixels than any image may have.
    """
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    if width * height > (Image.MAX_IMAGE_PIXELS or width * height):
        raise UserError(f"{name}: {image.size[0]} x {image.size[1]} pixels are too long and narrow; crop it")
    left, top = (width - size) // 2, (height - size) // 2
    scaled = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(scaled.crop((left, top, left + size, top + size)))


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("F", "I") or image.mode.startswith("I;16"):
        return Image.fromarray(_eight_bits(np.asarray(image), image.mode)).convert("RGB")
    if image.has_transparency_data:
        own = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", own.size, "white"), own).convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: np.ndarray, mode: str) -> np.ndarray:
    """Grey uint8 [H, W] of deeper grey."""
    low, high = values.min(), values.max()
    largest = 1.0 if mode == "F" else DEEP
    if not 0 <= low <= high <= largest:  # also false for NaN
        raise ValueError(f"grey from {low:g} to {high:g}; 0 to {largest:g} is understood")
    return np.rint(values.astype(np.float64) * (255 / largest)).astype(np.uint8)
