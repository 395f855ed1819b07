"""Verilog text of components: the only caller of Amaranth's back ends."""

import re

from amaranth.back import verilog
from amaranth.lib.wiring import Component


def to_verilog(component: Component, name: str) -> str:
    """Verilog of one component and its submodules, free of source locations.

    Submodules are prefixed with ``name``, so texts of several components can be joined.
    """
    text = verilog.convert(component, name=name, emit_src=False, strip_internal_attrs=True)
    return re.sub(r"\\(" + re.escape(name) + r"\.[\w.$]+) ", lambda m: re.sub(r"\W", "_", m[1]) + " ", text)
