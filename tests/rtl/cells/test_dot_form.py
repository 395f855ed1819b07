"""The split of a cell for dot products computes the cell, with what one operand decides outside of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipstick.errors import UserError
from slipstick.rtl.cells import cell, names
from slipstick.rtl.cells.dot_form import dot_form, shared_encoding

SAMPLE = [name for name in names("*8s*") if cell(name).signed and cell(name).widths == (8, 8)][::12]


@pytest.mark.parametrize("name", SAMPLE)
def test_the_three_netlists_compute_the_table(name: str) -> None:
    form = dot_form(cell(name))
    assert np.array_equal(form.table(), cell(name).table)
    assert len(form.core.gates) <= len(cell(name).netlist.gates)
    assert form.core.widths == (len(form.activation.outputs), len(form.weight.outputs))


@pytest.mark.parametrize("name", [name for name in SAMPLE if cell(name).widths == (8, 8)][::4])
def test_the_core_has_no_gate_of_one_operand(name: str) -> None:
    core = dot_form(cell(name)).core
    reads = [set(), set(), *[{0}] * core.widths[0], *[{1}] * core.widths[1]]
    for gate, x, y in core.gates:
        reads.append(reads[x] | (set() if gate == 3 else reads[y]))
        assert reads[-1] == {0, 1}


def test_the_sign_of_a_magnitude_cell_becomes_the_carry_of_its_lowest_bit_that_changes() -> None:
    exact, truncated = dot_form(cell("exact_magnitude8s")), dot_form(cell("truncated_magnitude8s_k6_c2"))
    assert exact.has_carry and exact.carry_place == exact.low == 0
    assert truncated.has_carry and truncated.carry_place == truncated.low == 6


def test_three_times_an_activation_is_made_outside_of_the_core() -> None:
    form = dot_form(cell("exact_multiples8s"))
    values = form.activation.evaluate(np.arange(256), np.zeros(256, int))
    assert len(form.activation.outputs) > 16 and len(set(values.tolist())) == 256


@given(st.lists(st.sampled_from(SAMPLE), min_size=1, max_size=5))
@settings(max_examples=20)
def test_a_shared_encoding_holds_the_words_of_every_cell(chosen: list[str]) -> None:
    encoders = [dot_form(cell(name)).activation for name in chosen]
    shared = shared_encoding(encoders)
    operands = np.arange(256), np.zeros(256, int)
    word = shared.netlist.evaluate(*operands)
    for encoder, places in zip(encoders, shared.places, strict=True):
        wanted = encoder.evaluate(*operands)
        for bit, place in enumerate(places):
            assert np.array_equal((word >> np.uint64(place)) & np.uint64(1), (wanted >> np.uint64(bit)) & np.uint64(1))
    planes = {tuple((word >> np.uint64(place)) & np.uint64(1)) for place in range(len(shared.netlist.outputs))}
    assert len(planes) == len(shared.netlist.outputs)  # no function twice


@pytest.mark.parametrize("name", ["exact8u", "exact12s"])
def test_other_cells_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="not signed with at most 16 operand bits"):
        dot_form(cell(name))
