"""Activity from a VCD file, the waveforms that simulators write; read as a stream, for such files are large."""

from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path

from vcd.reader import ScalarChange, ScopeDecl, Timescale, TokenKind, VarDecl, VCDParseError, VectorChange, tokenize

from slipstick.errors import UserError

from .annotation import MINIMUM_COVERAGE, TIME_PS, Annotation
from .gates import MappedNetlist
from .netlist_verilog import netlist_verilog


class _Bit:
    """A net's waveform so far: its value and since when, transitions between 0 and 1, time at either."""

    __slots__ = ("high", "known", "since", "toggles", "value")

    def __init__(self) -> None:
        self.value = "x"
        self.since = self.toggles = self.high = self.known = 0

    def change(self, value: str, time: int) -> None:
        """Take a new value; times and transitions at x and z do not count."""
        if self.value in "01":
            self.known += time - self.since
            self.high += (time - self.since) * (self.value == "1")
            self.toggles += value in "01" and value != self.value
        self.value, self.since = value, time


def read_vcd(
    path: Path,
    netlist: MappedNetlist,
    scope: str,
    clock_ps: float,
    *,
    minimum: float = MINIMUM_COVERAGE,
) -> Annotation:
    """Activity of a mapped netlist from a VCD file that uses the names of ``netlist_verilog``.

    ``scope`` is where the netlist stands, such as ``bench.dut``. From the first time stamp to the last counts.
    UserError for a file that is cut or no VCD, an unknown scope, and below ``minimum`` of the nets covered.
    """
    names = {name: net for net, name in enumerate(netlist_verilog(netlist).nets) if net > 1}
    try:
        with path.open("rb") as stream:
            bits, duration_ps = _waveforms(stream, names, scope, path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (VCDParseError, ValueError, StopIteration) as error:
        raise UserError(f"{path} is not a whole VCD file: {error}") from error
    if duration_ps <= 0:
        raise UserError(f"{path} shows no time at all")
    cycles = duration_ps / clock_ps
    found = ((net, bit.toggles / cycles, bit.high / bit.known) for net, bit in bits.items() if bit.known)
    return Annotation.of(netlist, found, f"{path}, scope {scope!r},", minimum)


def _waveforms(
    stream: BufferedReader, names: Mapping[str, int], scope: str, path: Path
) -> tuple[dict[int, _Bit], float]:
    """Waveforms by net, and the time that the file shows in ps."""
    here: list[str] = []
    scopes: list[str] = []
    watched: dict[str, list[_Bit | None]] = {}  # by identifier: bits, most significant first
    bits: dict[int, _Bit] = {}
    unit_ps, start, time = 1.0, -1, 0
    for token in tokenize(stream):
        data = token.data
        if isinstance(data, Timescale):
            unit_ps = TIME_PS[data.unit.value] * data.magnitude.value
        elif isinstance(data, ScopeDecl):
            here.append(data.ident)
            scopes.append(".".join(here))
        elif token.kind is TokenKind.UPSCOPE:
            here.pop()
        elif isinstance(data, VarDecl) and ".".join(here) == scope:
            watched.setdefault(data.id_code, list(_bits(data, names, bits)))
        elif token.kind is TokenKind.ENDDEFINITIONS and scope not in scopes:
            raise UserError(f"{path} has no scope {scope!r}; there: {', '.join(scopes[:8])}")
        elif token.kind is TokenKind.CHANGE_TIME and isinstance(data, int):
            time = data
            start = time if start < 0 else start
        elif isinstance(data, ScalarChange | VectorChange) and data.id_code in watched:
            changed = watched[data.id_code]
            for bit, value in zip(changed, _digits(data.value, len(changed)), strict=True):
                if bit:
                    bit.change(value, time)
    for bit in bits.values():
        bit.change("x", time)
    return bits, (time - start) * unit_ps if start >= 0 else 0.0


def _bits(variable: VarDecl, names: Mapping[str, int], bits: dict[int, _Bit]) -> Iterator[_Bit | None]:
    """The watched bits of a variable, most significant first; None for those that no net is called by."""
    index = variable.bit_index
    high = index[0] if isinstance(index, tuple) else index if index is not None else variable.size - 1
    for place in range(high, high - variable.size, -1):
        name = f"{variable.reference}[{place}]" if variable.size > 1 or index is not None else variable.reference
        net = names.get(name)
        yield None if net is None else bits.setdefault(net, _Bit())


def _digits(value: int | str, width: int) -> str:
    """A vector's value as ``width`` characters; VCD leaves leading zeros out, and repeats a leading x or z."""
    text = f"{value:b}" if isinstance(value, int) else value.lower()
    return text.rjust(width, text[0] if text[0] in "xz" else "0")
