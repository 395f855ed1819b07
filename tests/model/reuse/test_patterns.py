"""Families of patterns, and the similarity that speaks for them."""

import pytest
import torch

from slipstick.errors import UserError
from slipstick.model.reuse.cka import attention_cka, linear_cka
from slipstick.model.reuse.convert import check_pattern, reuse_
from slipstick.model.reuse.patterns import continuous, families, pyramid, random_patterns, strided
from slipstick.model.vit import build_vit


def test_starts_are_those_of_the_papers_example() -> None:
    """Nine encoders, four reuse: strided from 1 or 2, pyramid (one encoder between, run of two) 1 to 3, runs 1 to 5."""
    assert list(strided(9, 4, 2)) == [(1, 3, 5, 7), (2, 4, 6, 8)]
    assert list(pyramid(9, 4, 2, 2)) == [(1, 3, 4, 6), (2, 4, 5, 7), (3, 5, 6, 8)]
    assert list(continuous(9, 4)) == [tuple(range(s, s + 4)) for s in range(1, 6)]


@pytest.mark.parametrize(("encoders", "reuse"), [(6, 1), (6, 2), (6, 3), (6, 5), (12, 5), (12, 9), (16, 7), (2, 1)])
def test_families_hold_valid_and_different_patterns(encoders: int, reuse: int) -> None:
    found = families(encoders, reuse)
    blocks = [one.blocks for one in found]
    assert len(set(blocks)) == len(blocks) and blocks
    for pattern in blocks:
        assert check_pattern(pattern, encoders) == pattern and len(pattern) == reuse
    assert set(continuous(encoders, reuse)) <= set(blocks)
    for stride in range(2, encoders):
        assert set(strided(encoders, reuse, stride)) <= set(blocks)


def test_names_tell_family_stride_and_start_and_later_starts_come_first() -> None:
    found = {one.name: one.blocks for one in families(9, 4)}
    assert found["strided stride=2 start=1"] == (1, 3, 5, 7)
    assert found["pyramid stride=2 run=2 start=3"] == (3, 5, 6, 8)
    assert found["continuous start=5"] == (5, 6, 7, 8)
    assert list(found)[:2] == ["strided stride=2 start=2", "strided stride=2 start=1"]
    assert [one.blocks for one in families(4, 1)] == [(3,), (2,), (1,)]


def test_random_patterns_are_seeded_valid_and_different() -> None:
    one, same, other = (random_patterns(12, 5, 20, seed) for seed in (0, 0, 1))
    assert one == same != other and len({p.blocks for p in one}) == 20
    assert all(check_pattern(p.blocks, 12) == p.blocks for p in one)
    assert len(random_patterns(5, 2, 100, 0)) == 6  # all that there are
    assert len({p.blocks for p in random_patterns(40, 12, 30, 0)}) == 30


@pytest.mark.parametrize("reuse", [0, 6, 7])
def test_numbers_that_no_pattern_has_are_refused(reuse: int) -> None:
    for make in (lambda: families(6, reuse), lambda: random_patterns(6, reuse, 3, 0)):
        with pytest.raises(UserError, match=f"{reuse} of 6 encoders cannot reuse attention; 1 to 5 can"):
            make()


def test_cka_ignores_rotation_shift_and_scale_and_sees_independence() -> None:
    generator = torch.Generator().manual_seed(0)
    first, other = torch.randn(2, 4000, 8, generator=generator)
    rotation = torch.linalg.qr(torch.randn(8, 8, generator=generator)).Q
    assert linear_cka(first, 3 * first @ rotation + 5) == pytest.approx(1)
    assert linear_cka(first, other) < 0.01
    known = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    assert linear_cka(known, known[:, :1]) == pytest.approx(0.5**0.5)  # 2^2 / (sqrt(8) * 2)
    with pytest.raises(UserError, match="the same for all rows"):
        linear_cka(torch.ones(5, 2), known[:1].expand(5, 2))


def test_attention_cka_is_symmetric_with_ones_and_needs_a_model_as_it_was() -> None:
    model = build_vit(dim=32, depth=4, heads=2).eval()
    found = attention_cka(model, torch.randn(4, 3, 32, 32))
    assert found.shape == (4, 4)
    torch.testing.assert_close(found.diagonal(), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(found, found.T)
    reuse_(model, (2,))
    with pytest.raises(UserError, match="reuses attention already"):
        attention_cka(model, torch.randn(1, 3, 32, 32))
