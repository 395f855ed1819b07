"""Buffer trees and wires follow their stated models, by hand on the toy library."""

import itertools

import pytest

from slipstick.errors import UserError
from slipstick.flow.cost.buffer_tree import NO_TREE, buffer_tree
from slipstick.flow.cost.wires import NO_WIRES, WireModel
from slipstick.flow.library.liberty import default_liberty, parse_liberty

CLOCK_PS = 10_000.0


def test_levels_of_bounded_fanout_end_in_one_root() -> None:
    for sinks in (1, 16, 17, 656, 10_000):
        levels = (sinks, *buffer_tree(default_liberty(), sinks, 2.9, CLOCK_PS).levels)
        assert levels[-1] == 1 and len(levels) >= 2
        for below, above in itertools.pairwise(levels):
            assert above == -(-below // 16)


def test_a_tree_by_hand(toy_text) -> None:
    """Two sinks of 3 fF under one buffer: tables at 50 ps and 6 fF, two transitions a cycle, its input pin of 3 fF."""
    liberty = parse_liberty(toy_text().replace('"0.1, 0.2", "0.3, 0.4"', '"0.1, 0.1", "0.1, 0.1"'))
    tree = buffer_tree(liberty, 2, 3.0, CLOCK_PS)
    low, high = 2 + 0.6 * (4 - 2), 6 + 0.6 * (-8 - 6)  # fJ at slews of 0 and 100 ps
    assert tree.levels == (1,) and tree.buffer == "BUF1"
    assert tree.energy.internal_fj == pytest.approx(2 * (low + high) / 2)
    assert tree.energy.switching_fj == pytest.approx(3.0 * 2.0**2)


def test_wires_and_fanout_can_be_overridden() -> None:
    plain = buffer_tree(default_liberty(), 1000, 2.9, CLOCK_PS)
    wired = buffer_tree(default_liberty(), 1000, 2.9, CLOCK_PS, wire_ff_per_fanout=2.0)
    wide = buffer_tree(default_liberty(), 1000, 2.9, CLOCK_PS, max_fanout=32)
    assert wide.energy.total_fj < plain.energy.total_fj < wired.energy.total_fj
    assert buffer_tree(default_liberty(), 0, 2.9, CLOCK_PS) == NO_TREE
    with pytest.raises(UserError, match="at least 2 pins"):
        buffer_tree(default_liberty(), 10, 2.9, CLOCK_PS, max_fanout=1)


def test_wires_to_the_sinks_of_a_signal_are_counted_with_the_sinks() -> None:
    library = default_liberty()
    every, inner = (
        buffer_tree(library, 1000, 2.9, CLOCK_PS, wire_ff_per_fanout=2.0, leaf_wires=one) for one in (True, False)
    )
    assert every.levels == inner.levels and every.delay_ps == inner.delay_ps
    assert every.energy.switching_fj - inner.energy.switching_fj == pytest.approx(1000 * 2.0 * library.voltage_v**2)


def test_slow_buffers_drive_fewer_pins(toy_text) -> None:
    """BUF1 and BUF2 give slews of 0.2 ns at 50 ps and no load, and more at any: two pins a buffer are left."""
    assert buffer_tree(parse_liberty(toy_text()), 8, 1.0, CLOCK_PS).levels == (4, 2, 1)


def test_a_library_without_buffers_is_refused(toy_text) -> None:
    text = toy_text().replace('function : "A"; ', 'function : "!A"; ')
    with pytest.raises(UserError, match="no buffer of library toy"):
        buffer_tree(parse_liberty(text), 10, 2.9, CLOCK_PS)


def test_a_fanout_is_so_many_gate_pitches_of_wire() -> None:
    assert WireModel(3.0, 0.1, 0.5).ff_per_fanout(8.0) == pytest.approx(3 * 4 * 0.1)
    assert NO_WIRES.ff_per_fanout(8.0) == 0
    with pytest.raises(UserError, match="utilisation"):
        WireModel(utilisation=0.0)
