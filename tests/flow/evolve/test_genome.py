"""Genomes: what a netlist computes survives the way there and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstick.flow.evolve.genome import Genome
from slipstick.rtl.cells import cells

from .conftest import random_genome

A, W = (axis.ravel() for axis in np.indices((256, 256)))


@pytest.mark.parametrize("pattern", ["exact*8s", "truncated8s_k?", "drum8u_*", "mitchell8s", "compressor_*_k8"])
def test_a_genome_computes_what_its_netlist_does(pattern: str) -> None:
    for own in cells(pattern):
        again = Genome.of(own.netlist).netlist()
        np.testing.assert_array_equal(again.evaluate(A, W), own.netlist.evaluate(A, W))
        assert len(again.gates) <= len(own.netlist.gates)


@given(st.integers(0, 2**32 - 1), st.integers(1, 80))
def test_any_genome_survives_the_way_through_its_netlist(seed: int, gates: int) -> None:
    first = random_genome(seed, gates=gates).netlist()
    second = Genome.of(first).netlist()
    np.testing.assert_array_equal(second.evaluate(A, W), first.evaluate(A, W))
