"""Readable, lint-clean Verilog from the text that Amaranth's Yosys writes.

Yosys leaves a dummy register, escaped names such as ``\\$12``, a separate process for the next value
of every register, aliases nobody reads, and operands whose sign extension it has cut off. Each step
below changes only how the same logic is written; the tests simulate and lint the result.
"""

import re
from dataclasses import dataclass, field

_DECLARATION = re.compile(r"(input|output|wire|reg) (?:\[(\d+):0\] )?(\w+)(?: \[(\d+):0\])?(?: = [^;]*)?;")
_OPERAND = r"(?:\$signed\([^()]*\)|\{ [\w\[\]:', ]+ \}|\w+'\w+|\w+(?:\[[\d:]+\])?)"
LINE = 110
CLOCKS = ("clk", "rst", "aclk", "aresetn")


@dataclass
class _Net:
    width: int
    direction: str = ""
    register: bool = False
    words: int = 0


@dataclass
class _Module:
    name: str
    ports: list[str]
    nets: dict[str, _Net] = field(default_factory=dict)
    assigns: dict[str, str] = field(default_factory=dict)  # target, also a part of a net -> expression
    clocked: dict[str, list[list[str]]] = field(default_factory=dict)  # clock -> statements of each register
    rest: list[str] = field(default_factory=list)  # instances, memories, other processes


def tidy(text: str) -> str:
    """Rewrite every module of Yosys' ``text``; the logic stays the same."""
    text = re.sub(r"/\*.*?\*/|^ *\(\*.*?\*\)\n", "", text, flags=re.S | re.M)
    return "\n".join(_tidy_module(module) for module in re.findall(r"^module .*?^endmodule\n", text, re.S | re.M))


def _tidy_module(text: str) -> str:
    module = _parse(_legal_names(text))
    _drop_dead(module)
    for target, expression in module.assigns.items():
        module.assigns[target] = _same_widths(module, target, expression)
    _drop_dead(module)
    return _rename_unread(module, _write(module))


def _legal_names(text: str) -> str:
    """Plain names for escaped ones: ``\\lane$3`` becomes ``lane_3``, ``\\$12`` becomes ``expression_12``."""
    text = re.sub(r"^ *(?:reg|if \() *\\\$auto.*\n", "", text, flags=re.M)
    text = re.sub(r"\b_(\d+)_\b", r"read_data_\1", text)
    taken = set(re.findall(r"(?<!\\)\b[A-Za-z_]\w*", text))
    renamed: dict[str, str] = {}
    for name in re.findall(r"\\(\S+) ", text):
        if name not in renamed:
            anonymous = re.fullmatch(r"\$(\d+)", name)
            plain = f"expression_{anonymous[1]}" if anonymous else re.sub(r"\W+", "_", name).strip("_")
            while plain in taken:
                plain += "_"
            taken.add(plain)
            renamed[name] = plain
    return re.sub(r"\\(\S+) ", lambda match: renamed[match[1]], text)


def _parse(text: str) -> _Module:
    head = re.match(r"module (\w+) ?\((.*?)\);\n", text, re.S)
    assert head, text[:80]
    module = _Module(head[1], re.findall(r"\w+", head[2]))
    body = re.sub(r" *initial begin\n(?: *\w+\[\d+\] = \d+'h0+;\n)*  end\n", "", text[head.end() : -len("endmodule\n")])
    next_values: dict[str, list[str]] = {}
    for block in re.findall(r"^  \S.*\n(?:^   .*\n|^  (?:end|\);)\n)*", body, re.M):
        declared = _DECLARATION.fullmatch(block.strip())
        assigned = re.fullmatch(r"  assign (\S+) *= (.*);\n", block)
        process = re.fullmatch(r"  always @\* begin\n    (\w+) *= (.*?);\n(.*)  end\n", block, re.S)
        clocked = re.fullmatch(r"  always @\(posedge (\w+)\)\n    (\w+ <= .*;)\n", block)
        if declared:
            net = module.nets.setdefault(declared[3], _Net(int(declared[2] or 0) + 1))
            net.direction = declared[1] if declared[1] in ("input", "output") else net.direction
            net.register |= declared[1] == "reg"
            net.words = int(declared[4] or -1) + 1
        elif assigned:
            module.assigns[assigned[1]] = _short(assigned[2])
        elif process and process[1].startswith("expression_"):
            next_values[process[1]] = [process[2], *process[3].splitlines()]
        elif clocked:
            module.clocked.setdefault(clocked[1], []).append([clocked[2]])
        else:
            module.rest.append(block)
    for blocks in module.clocked.values():
        blocks[:] = [_with_next_value(module, statement, next_values) for (statement,) in blocks]
    return module


def _with_next_value(module: _Module, statement: str, next_values: dict[str, list[str]]) -> list[str]:
    """``q <= next`` with the process that computes ``next`` written into the clocked block."""
    register, _, value = statement.removesuffix(";").partition(" <= ")
    if value not in next_values:
        return [f"{register} <= {_short(value)};"]
    default, *lines = next_values[value]
    del module.nets[value]
    start = [] if default == register else [f"{register} <= {_short(default)};"]
    return start + [
        re.sub(rf"\b{value} *= (.*);", lambda match: f"{register} <= {_short(match[1])};", line.removeprefix("    "))
        for line in lines
    ]


def _short(expression: str) -> str:
    """``{ x, x, x, y }`` as ``{ {3{x}}, y }``."""

    def fold(match: re.Match) -> str:
        return "{" + str(match[0].count(match[1])) + "{" + match[1] + "}}"

    return re.sub(r"\b(\w+\[\d+\])(?:, \1(?![\w\[]))+", fold, expression).replace("  ", " ")


def _drop_dead(module: _Module) -> None:
    """Drop wires that nobody reads: aliases of ports, fields and registers."""
    while True:
        read = set(re.findall(r"[A-Za-z_]\w*", _reading(module)))
        dead = {
            name
            for name, net in module.nets.items()
            if not net.direction and name not in read and not name.endswith("unused")
        }
        if not dead:
            return
        module.assigns = {t: e for t, e in module.assigns.items() if t.split("[")[0] not in dead}
        module.nets = {name: net for name, net in module.nets.items() if name not in dead}


def _width(module: _Module, operand: str) -> int:
    operand = operand.removeprefix("$signed(").removesuffix(")").strip()
    if constant := re.match(r"(\d+)'", operand):
        return int(constant[1])
    if operand.startswith("{"):
        return sum(_width(module, part) for part in _concatenated(operand))
    if part := re.search(r"\[(\d+)(?::(\d+))?\]$", operand):
        return int(part[1]) - int(part[2] or part[1]) + 1
    return module.nets[operand].width


def _concatenated(operand: str) -> list[str]:
    """The parts of ``{ a, {2{b}}, c }``, repeated ones as often as they stand there."""
    parts: list[str] = []
    for part in re.findall(r"(?:\{[^{}]*\{[^{}]*\}[^{}]*\}|[^{},])+", operand[1:-1]):
        repeated = re.fullmatch(r"\s*\{(\d+)\{(.*)\}\}\s*", part)
        parts += [repeated[2]] * int(repeated[1]) if repeated else [part.strip()]
    return parts


def _same_widths(module: _Module, target: str, expression: str) -> str:
    """Operands of ``+ < > ==`` extended to the wider of the two, or to the result as those of ``<<`` are.

    A constant that is shifted right, a table, gets the zeros back that stood on top of it, and ``! bus``
    becomes a comparison with zero.
    """
    if negated := re.fullmatch(rf"! ({_OPERAND})", expression):
        width = _width(module, negated[1])
        return expression if width == 1 else f"{negated[1]} == {width}'h0"
    if shifted := re.fullmatch(rf"({_OPERAND}) << (\w+)", expression):
        width = max(_width(module, target), _width(module, shifted[1]))
        return f"{_extend(module, shifted[1], width)} << {shifted[2]}"
    if table := re.fullmatch(r"(\d+'h\w+) (>> .*)", expression):
        width = max(_width(module, target), _width(module, table[1]))
        return f"{_extend(module, table[1], width)} {table[2]}"
    binary = re.fullmatch(rf"({_OPERAND}) (\+|-|<|>|<=|>=|==|!=) ({_OPERAND})", expression)
    if not binary:
        return expression
    left, operator, right = binary.groups()
    width = max(_width(module, left), _width(module, right))
    if operator in "+-" and _width(module, target) > width + 1:  # a carry is expected, more is not
        width = _width(module, target)
    return f"{_extend(module, left, width)} {operator} {_extend(module, right, width)}"


def _extend(module: _Module, operand: str, width: int) -> str:
    missing = width - _width(module, operand)
    if not missing:
        return operand
    is_signed = operand.startswith("$signed(")
    bare = operand.removeprefix("$signed(").removesuffix(")")
    if constant := re.fullmatch(r"(\d+)'([hd])(\w+)", bare):
        value, bits = int(constant[3], 16 if constant[2] == "h" else 10), int(constant[1])
        value -= (value >> (bits - 1) << bits) if is_signed else 0
        wide = f"{width}'h{value & ((1 << width) - 1):x}"
    else:
        top = _top_bit(module, _concatenated(bare)[0] if bare.startswith("{") else bare)
        wide = f"{{ {{{missing}{{{top}}}}}, {bare} }}" if is_signed else f"{{ {missing}'h0, {bare} }}"
    return f"$signed({wide})" if is_signed else wide


def _top_bit(module: _Module, operand: str) -> str:
    width = _width(module, operand)
    if constant := re.fullmatch(r"\d+'h(\w+)", operand):
        return f"1'h{int(constant[1], 16) >> (width - 1)}"
    if width == 1:
        return operand
    part = re.fullmatch(r"(\w+)\[(\d+):\d+\]", operand)
    return f"{part[1]}[{part[2]}]" if part else f"{operand}[{width - 1}]"


def _rename_unread(module: _Module, text: str) -> str:
    """Anonymous wires of which some bits are never read (a carry, a rounded bit) say so in their name."""
    bits_read: dict[str, set[int]] = {name: set() for name in module.nets if name.startswith("expression_")}
    for name, high, low in re.findall(r"\b(expression_\d+_*)\b(?:\[(\d+)(?::(\d+))?\])?", _reading(module)):
        bits_read[name].update(range(int(low or high), int(high) + 1) if high else range(module.nets[name].width))
    connected = set(re.findall(r"\.\w+\((expression_\d+_*)\)", "\n".join(module.rest)))
    renamed = {}
    for name, bits in bits_read.items():
        number = name.removeprefix("expression_")
        if name in connected and name not in module.assigns and len(re.findall(rf"\b{name}\b", text)) == 2:
            renamed[name] = f"unused_{number}"  # declared, and connected to an output that nobody reads
        elif len(bits) < module.nets[name].width:
            renamed[name] = f"partly_unused_{number}"
    return re.sub(r"\bexpression_\d+_*\b", lambda match: renamed.get(match[0], match[0]), text)


def _reading(module: _Module) -> str:
    """All text that may read a net."""
    clocked = [line for blocks in module.clocked.values() for lines in blocks for line in lines]
    return "\n".join([*(re.sub(r"\.\w+\(", "(", block) for block in module.rest), *clocked, *module.assigns.values()])


def _write(module: _Module) -> str:
    ports = []
    for port in sorted(module.ports, key=lambda name: name not in CLOCKS):
        net = module.nets[port]
        ports.append(f"  {net.direction} {'reg' if net.register else 'wire'} {_range(net)}{port}")
    lines = [f"module {module.name} (", ",\n".join(ports), ");"]
    groups: dict[str, list[str]] = {}
    for name, net in sorted(module.nets.items(), key=lambda item: _natural(item[0])):
        if not net.direction:
            words = f" [{net.words - 1}:0]" if net.words else ""
            groups.setdefault(f"  {'reg' if net.register else 'wire'} {_range(net)}", []).append(name + words)
    for start, names in groups.items():
        lines += _wrapped(start, names)
    lines += [f"  assign {target} = {expression};" for target, expression in _in_order(module.assigns)]
    lines += [block.rstrip("\n") for block in module.rest]
    for clock, blocks in module.clocked.items():
        lines += [f"  always @(posedge {clock}) begin", *(f"    {line}" for line in _merged(blocks)), "  end"]
    return "\n".join([*lines, "endmodule", ""])


def _merged(blocks: list[list[str]]) -> list[str]:
    """Registers that change under the same conditions share their ``if`` statements."""
    groups: dict[tuple[str, ...], list[list[str]]] = {}
    for block in blocks:
        groups.setdefault(tuple("" if "<=" in line else line for line in block), []).append(block)
    return [
        line
        for conditions, members in groups.items()
        for condition, *lines in zip(conditions, *members, strict=True)
        for line in ([condition] if condition else lines)
    ]


def _range(net: _Net) -> str:
    return f"[{net.width - 1}:0] " if net.width > 1 or net.words else ""


def _wrapped(start: str, names: list[str]) -> list[str]:
    lines = [start + names[0]]
    for name in names[1:]:
        if len(lines[-1]) + len(name) + 3 > LINE:
            lines[-1] += ";"
            lines.append(start + name)
        else:
            lines[-1] += f", {name}"
    lines[-1] += ";"
    return lines


def _in_order(assigns: dict[str, str]) -> list[tuple[str, str]]:
    """Assignments in natural order of their targets, each after those it reads."""
    by_net: dict[str, list[str]] = {}
    for target in sorted(assigns, key=_natural):
        by_net.setdefault(target.split("[")[0], []).append(target)
    ordered: dict[str, None] = {}
    visited: set[str] = set()
    for root in by_net:
        stack = [(root, False)]
        while stack:
            net, ready = stack.pop()
            if ready:
                ordered.update(dict.fromkeys(by_net[net]))
            elif net not in visited:
                visited.add(net)
                stack.append((net, True))
                read = {n for target in by_net[net] for n in re.findall(r"[A-Za-z_]\w*", assigns[target])}
                stack += [(n, False) for n in sorted(read, key=_natural, reverse=True) if n in by_net]
    return [(target, assigns[target]) for target in ordered]


def _natural(name: str) -> list:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
