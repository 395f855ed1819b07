"""Array families on magnitudes: the unsigned array of another family between negations.

Such a product is odd in both operands, so operands that are symmetric about zero leave sums without a
mean error, and values about zero toggle few bits (Chandrakasan and Brodersen, "Minimizing Power
Consumption in Digital CMOS Circuits", Proc. IEEE 1995). The approximate compressors were published for
such arrays: complemented partial products would make their rare inputs frequent. With ``o`` = 1 the
array is a bit narrower each way, because the one's complement of the least value is the greatest.
"""

from . import compressors  # noqa: F401  registers families that are found by name here
from .array_multipliers import VARIABLE
from .bits import Word, on_magnitudes
from .registry import FAMILIES, Family, complements, family


def _on_magnitudes(name: str) -> Family:
    base = FAMILIES[name]

    def product(a: Word, w: Word, /, **parameters: int) -> Word:
        return list(base.product(a, w, signed=False, **parameters))

    product.__name__ = f"{name}_magnitude"
    product.__doc__ = f"{base.source}\n\nHere of magnitudes, between negations."
    return family(base.sizes, **base.limits, o=complements)(on_magnitudes(product))


truncated = _on_magnitudes("truncated")
truncated.register(signed=True, k=range(3, 9))
truncated.register(signed=True, k=range(4, 11), c=VARIABLE)
truncated.register(signed=True, k=(5, 6, 7), o=1)
truncated.register(signed=True, k=range(5, 11), c=VARIABLE, o=1)
broken_array = _on_magnitudes("broken_array")
broken_array.register(signed=True, h=1, v=(4, 6))
broken_array.register(signed=True, h=2, v=6)
narrowed = _on_magnitudes("narrowed")
for _a, _w in ((1, 0), (0, 1), (1, 1), (2, 2), (3, 3)):
    narrowed.register(signed=True, a=_a, w=_w)
perforated = _on_magnitudes("perforated")
perforated.register(signed=True, j=1, k=(1, 2))
merged = _on_magnitudes("merged")
merged.register(signed=True, d=(2, 4))
merged.register(signed=True, d=2, o=1)
for _design in ("yang", "venkatachalam", "ha", "strollo", "esposito"):
    _on_magnitudes(f"compressor_{_design}").register(signed=True, k=(8, 10))
