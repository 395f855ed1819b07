"""Icarus Verilog as a reference: a mapped netlist as delayed assignments, its transitions counted from a VCD."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from slipstick.flow.library.boolean import AND, CONSTANT, NOT, OR, PIN, parse
from slipstick.flow.power.gates import unpack

MARKS = {AND: "&", OR: "|"}


def need_icarus():
    if not shutil.which("iverilog") or not shutil.which("vvp"):
        pytest.skip("Icarus Verilog (iverilog, vvp) is not installed")


def text_of(expression, names):
    if expression.kind == PIN:
        return names[expression.name]
    if expression.kind == CONSTANT:
        return f"1'b{expression.value}"
    parts = [text_of(one, names) for one in expression.operands]
    return f"(~{parts[0]})" if expression.kind == NOT else f"({parts[0]} {MARKS.get(expression.kind, '^')} {parts[1]})"


def bench(netlist, steps, activity, period):
    """Verilog: net n as wire ``n<number>``; a vector a period, flip-flops clocked at its start."""
    count, clocks = activity.count, netlist.clock_nets
    ports = [net for direction, nets in netlist.ports.values() if direction == "input" for net in nets]
    driven = [net for net in dict.fromkeys(ports) if net not in clocks]
    bits = dict.fromkeys(driven, 0)
    planes = np.array([unpack(activity.planes[[net]], count) for net in driven]).reshape(len(driven), count)
    words = ["".join(map(str, column)) for column in planes.T]
    wires = ", ".join(f"n{net}" for net in range(2, netlist.net_count) if net not in bits)
    lines = [
        "`timescale 1ps/1ps", "module bench;", f"  wire {wires};" if wires else "",
        *(f"  reg n{net};" for net in driven), "  wire n0 = 0, n1 = 1;", "  reg clock = 0;",
        *(f"  assign n{net} = clock;" for net in clocks),
        f"  reg [{max(len(driven), 1) - 1}:0] words [0:{count - 1}];", "  integer t;",
    ]  # fmt: skip
    for gate in netlist.gates:
        for pin in gate.cell.outputs:
            if pin.name in gate.nets:
                net = gate.nets[pin.name]
                names = {name: f"n{one}" for name, one in gate.nets.items()}
                delay = f"#({steps[net][0]}, {steps[net][1]}) " if steps[net] != (0, 0) else ""
                lines.append(f"  assign {delay}n{net} = {text_of(parse(pin.function), names)};")
    for index, flop in enumerate(netlist.flops):
        group = flop.cell.flop
        names = {name: f"n{net}" for name, net in flop.nets.items()} | {
            group.state: f"s{index}", group.inverse: f"(~s{index})"
        }  # fmt: skip
        lines += [
            f"  reg s{index} = 0;",
            f"  always @(posedge {names[parse(group.clocked_on).pins()[0]]})",
            f"    s{index} <= {text_of(parse(group.next_state), names)};",
        ]
        for pin in flop.cell.outputs:
            if pin.name in flop.nets:
                net = flop.nets[pin.name]
                delay = f"#({steps[net][0]}, {steps[net][1]}) " if steps[net] != (0, 0) else ""
                lines.append(f"  assign {delay}n{net} = {text_of(parse(pin.function), names)};")
    target = ", ".join(f"n{net}" for net in driven)
    lines += [
        "  initial begin",
        '    $readmemb("words.txt", words); $dumpfile("dump.vcd"); $dumpvars(0, bench);',
        f"    for (t = 0; t < {count}; t = t + 1) begin",
        f"      clock = 1; {{{target}}} <= words[t]; #{period // 2} clock = 0; #{period - period // 2};",
        "    end", "    $finish;", "  end", "endmodule", "",
    ]  # fmt: skip
    return "\n".join(lines), "\n".join(words) + "\n"


def transitions(netlist, steps, activity, folder, period):
    """Transitions of every net in the counted cycles, as Icarus sees them, int64 [nets]."""
    need_icarus()
    text, words = bench(netlist, steps, activity, period)
    (folder / "bench.v").write_text(text)
    (folder / "words.txt").write_text(words)
    subprocess.run(["iverilog", "-g2005", "-o", "bench.vvp", "bench.v"], cwd=folder, check=True)
    subprocess.run(["vvp", "-n", "bench.vvp"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    counted = unpack(activity.counted[None], activity.count).astype(bool)
    return count_vcd(folder / "dump.vcd", netlist.net_count, counted, period)


def count_vcd(path, net_count, counted, period):
    """A reader of its own, for one-bit nets only: what it shares with the product is nothing."""
    nets, counts, values, time = {}, np.zeros(net_count, np.int64), {}, 0
    for line in path.read_text().splitlines():
        if found := re.match(r"\$var wire 1 (\S+) n(\d+) \$end|\$var reg 1 (\S+) n(\d+) \$end", line):
            nets.setdefault(found[1] or found[3], []).append(int(found[2] or found[4]))
        elif line.startswith("#"):
            time = int(line[1:])
        elif line and line[0] in "01xz" and line[1:] in nets:
            before = values.get(line[1:])
            values[line[1:]] = line[0]
            # "x" before the first vector is no transition
            if before in ("0", "1") and before != line[0] and counted[min(time // period, len(counted) - 1)]:
                counts[nets[line[1:]]] += 1
    return counts
