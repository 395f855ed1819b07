"""Every family against an independent integer model, exhaustively at 8 x 8 and at other sizes."""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipstick.rtl.cells import FAMILIES, Cell, build, cell, names
from slipstick.rtl.cells.cell import operand_values
from tests.rtl.cells import array_models, magnitude_models

MODELS = array_models.MODELS | magnitude_models.MODELS
MODELS |= {
    f"{name}_magnitude": magnitude_models.of_array(model, tree=name.startswith("compressor"))
    for name, model in array_models.MODELS.items()
}
SAMPLE = 4000


def wrapped(products: np.ndarray, width: int, signed: bool) -> np.ndarray:
    """Products as ``width`` bits hold them."""
    products = products & ((1 << width) - 1)
    return products - ((products >> (width - 1)) << width) if signed else products


def check(choice: Cell, a: np.ndarray, w: np.ndarray) -> None:
    """The cell's products of operand bits against the model's."""
    wa, ww = choice.widths
    values = (operand_values(width, choice.signed)[bits] for width, bits in zip((wa, ww), (a, w), strict=True))
    wanted = MODELS[choice.family](*values, wa, ww, choice.signed, **dict(choice.parameters))
    np.testing.assert_array_equal(choice.products(a, w), wrapped(wanted, wa + ww, choice.signed), choice.name)


def check_some(choice: Cell, seed: int = 0) -> None:
    """All pairs where they are few, else a sample and the corners."""
    wa, ww = choice.widths
    if wa + ww <= 12:
        a, w = (x.ravel() for x in np.indices((1 << wa, 1 << ww)))
    else:
        rng = np.random.default_rng(seed)
        a, w = (rng.integers(0, 1 << width, SAMPLE) >> rng.integers(0, width, SAMPLE) for width in (wa, ww))
        corners = [[0, 1, (1 << width) - 1, 1 << (width - 1), (1 << (width - 1)) - 1, 3, 6] for width in (wa, ww)]
        pairs = np.array([(x, y) for x in corners[0] for y in corners[1]])
        a, w = np.concatenate([a, pairs[:, 0]]), np.concatenate([w, pairs[:, 1]])
    check(choice, a, w)


def parameters(family: str, widths: tuple[int, int], signed: bool, draw) -> dict[str, int]:
    """Parameters within the family's limits; ``draw`` picks one of a list of values."""
    scope = SimpleNamespace(wa=widths[0], ww=widths[1], signed=signed)
    for key, limit in FAMILIES[family].limits.items():
        setattr(scope, key, draw(list(limit(scope))))
    return {key: getattr(scope, key) for key in FAMILIES[family].limits}


@pytest.mark.parametrize("name", [name for name in names("*8[su]*") if not name.startswith("evolved")])
def test_every_registered_cell_is_its_model_on_all_pairs(name: str) -> None:
    a, w = np.indices((256, 256))
    if cell(name).widths == (8, 8):
        check(cell(name), a, w)


@pytest.mark.parametrize("width", [4, 6, 7, 12, 16])
@pytest.mark.parametrize("family", FAMILIES)
def test_families_are_their_models_at_other_widths(family: str, width: int) -> None:
    if not FAMILIES[family].sizes.fit(width, width):
        pytest.skip(f"{family} takes {FAMILIES[family].sizes.words}")
    rng = np.random.default_rng(width)
    for signed in (True, False):
        for _ in range(4):
            chosen = parameters(family, (width, width), signed, lambda values: int(rng.choice(values)))
            check_some(build(family, width=width, signed=signed, **chosen))


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(sorted(FAMILIES)), st.booleans(), st.data())
def test_any_widths_and_parameters_within_the_limits_are_the_model(family, signed, data) -> None:
    sizes = [(wa, ww) for wa in range(2, 11) for ww in range(2, 11) if FAMILIES[family].sizes.fit(wa, ww)]
    widths = data.draw(st.sampled_from(sizes))
    chosen = parameters(family, widths, signed, lambda values: data.draw(st.sampled_from(values)))
    check_some(build(family, width=widths, signed=signed, **chosen))


@pytest.mark.parametrize("widths", [(4, 4), (5, 3), (3, 6), (6, 4)])
@pytest.mark.parametrize("family", ["truncated", "broken_array", "broken_booth", "approximate_booth"])
def test_every_parameter_of_the_cut_families_at_small_widths(family: str, widths: tuple[int, int]) -> None:
    def all_of(chosen: dict[str, int]) -> Iterator[dict[str, int]]:
        left = [key for key in FAMILIES[family].limits if key not in chosen]
        if not left:
            yield chosen
            return
        scope = SimpleNamespace(wa=widths[0], ww=widths[1], signed=True, **chosen)
        for value in FAMILIES[family].limits[left[0]](scope):
            yield from all_of({**chosen, left[0]: value})

    for signed in (True, False):
        for chosen in all_of({}):
            check_some(build(family, width=widths, signed=signed, **chosen))


def test_every_family_has_a_model_and_names_its_source() -> None:
    assert set(MODELS) >= set(FAMILIES)
    for family in FAMILIES.values():
        assert family.source.count("\n") >= 2 and any(str(year) in family.source for year in range(1960, 2027)), family
