import re
from collections import Counter

import pytest

from slipstick.flow.cost.multiplier import MULTIPLIER, multiplier_verilog
from slipstick.flow.library.liberty import default_liberty
from slipstick.flow.power.gates import MappedNetlist
from slipstick.flow.power.netlist_verilog import netlist_verilog
from slipstick.flow.power.synth import synthesise
from slipstick.rtl.cells.registry import cell
from tests.flow.power.designs import ELEMENT, element_verilog

INSTANCE = re.compile(r"^  (\w+) (\w+) \((.*)\);$", re.M)


@pytest.fixture(scope="module", params=["multiplier", "element"])
def netlist(request):
    one = cell("truncated8s_k4")  # its low product bits are constants
    text, top = (
        (multiplier_verilog(one), MULTIPLIER) if request.param == "multiplier" else (element_verilog(one, 20), ELEMENT)
    )
    mapped = synthesise(text, top, default_liberty(), clock_ps=10_000)
    return MappedNetlist.build(mapped, default_liberty())


def test_every_instance_stands_with_its_cell_and_connections(netlist):
    verilog = netlist_verilog(netlist)
    found = {name: (kind, dict(re.findall(r"\.(\w+)\(([^)]*)\)", pins))) for kind, name, pins in
             INSTANCE.findall(verilog.text)}  # fmt: skip
    wanted = {
        name: (one.cell.name, {pin: verilog.nets[net] for pin, net in one.nets.items()})
        for name, one in zip(verilog.instances, (*netlist.gates, *netlist.flops), strict=True)
    }
    assert found == wanted


def test_every_net_has_one_name_and_one_driver(netlist):
    verilog = netlist_verilog(netlist)
    assert len(set(verilog.nets)) == netlist.net_count
    outputs = [
        verilog.nets[one.nets[pin.name]]
        for one in (*netlist.gates, *netlist.flops)
        for pin in one.cell.outputs
        if pin.name in one.nets
    ]
    aliases = re.findall(r"assign (\S+) =", verilog.text)
    assert max(Counter(outputs + aliases).values()) == 1
    bits = [f"{port}[{i}]" if len(nets) > 1 else port for port, (direction, nets) in netlist.ports.items()
            if direction == "output" for i in range(len(nets))]  # fmt: skip
    assert set(bits) <= set(outputs + aliases), "an output bit has no driver"


def test_a_port_called_like_a_net_keeps_its_name():
    text = "module top(input n5, input g0, output r1); assign r1 = n5 & g0; endmodule"
    mapped = synthesise(text, "top", default_liberty(), clock_ps=10_000)
    verilog = netlist_verilog(MappedNetlist.build(mapped, default_liberty()))
    assert verilog.instances == ("_g0",)
    assert {"n5", "g0", "r1"} <= set(verilog.nets)
