"""One unit with a stream in and a stream out in Verilator: beats by member in, answers by member out.

The parts of a beat are the unit's input members, its payload included, named like ``i.payload.codes``;
an array's elements stand in the last dimension.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.hdl import Shape
from amaranth.lib import data
from amaranth.lib.wiring import Component, In

from slipstick.errors import UserError
from slipstick.rtl.verilog.emit import to_verilog

from .drive import BENCH
from .runner import SimulationError, build, run

HARNESS = Path(__file__).parent / "harness" / "stream_player.v"
_HANDSHAKE = ("i.valid", "i.ready", "o.valid", "o.ready")


@dataclass(frozen=True)
class Part:
    """``count`` integers of ``width`` bits that stand one after another under one name; 0 for a single one."""

    name: str
    width: int
    signed: bool
    count: int = 0


@dataclass(frozen=True)
class UnitAnswers:
    """Answers int64 [n] or [n, count] by part, the ``cycle`` of each, all cycles, the simulator's CPU seconds."""

    values: dict[str, np.ndarray]
    cycle: np.ndarray
    cycles: int
    cpu_seconds: float


def parts(component: Component, *, inputs: bool) -> list[Part]:
    """The parts of a beat, or those of an answer, lowest bits first."""
    found: list[Part] = []
    for path, member, _ in component.signature.flatten(component):
        name = ".".join(map(str, path))
        if (member.flow is In) == inputs and name not in _HANDSHAKE:
            found += _leaves(name, member.shape)
    return found


def play(
    component: Component,
    beats: Mapping[str, np.ndarray],
    answers: int,
    folder: Path,
    *,
    seed: int,
    stall: float = 0.0,
    verilog: str | None = None,
) -> UnitAnswers:
    """Send ``beats`` (int64 [n] or [n, count] by part; absent parts are 0) and wait for ``answers`` answers.

    ``stall`` is the share of cycles in which either side pauses, at random from ``seed``; ``verilog``
    replaces the emitted text. Raises UserError for parts that the unit has not or of unequal lengths,
    SimulationError when the unit hangs or takes back an answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    inputs, outputs = parts(component, inputs=True), parts(component, inputs=False)
    beat = _pack(beats, inputs)
    words = -(-_width(outputs) // 32)
    sources = {
        "unit.v": verilog or to_verilog(component, "unit"),
        "stream_unit.v": _wrapper(component, inputs, outputs, beat.shape[1], words),
        "stream_player.v": HARNESS.read_text(),
    }
    built = build(sources, "stream_player", parameters={"BEAT_BYTES": beat.shape[1], "ANSWER_WORDS": words})
    beat[:, ::-1].tofile(folder / "beats.bin")
    plan = {
        "seed": (seed * 2654435761 + 1) % (1 << 32) or 1,  # xorshift stays at zero
        "stall": round(stall * 65536), "beats": len(beat), "answers": answers,
        "cycles_allowed": int(20 * (len(beat) + answers) / (1 - stall) ** 2) + 10_000,
    }  # fmt: skip
    (folder / "bench.json").write_text(json.dumps(plan))
    run(built, BENCH, folder, seed=seed, testcase="play")
    report = json.loads((folder / "report.json").read_text())
    if report["violations"]:
        raise SimulationError(f"{report['violations']} answers changed while they were not taken; files in {folder}")
    record = np.fromfile(folder / "answers.bin", "<u4").reshape(-1, words + 1)
    values = _unpack(np.ascontiguousarray(record[:, :words]), outputs)
    return UnitAnswers(values, record[:, words].astype(np.int64), report["cycles"], report["cpu_seconds"])


def _leaves(name: str, shape: Any) -> Iterator[Part]:
    if isinstance(shape, data.StructLayout):
        for field, inner in shape.members.items():
            yield from _leaves(f"{name}.{field}", inner)
    elif isinstance(shape, data.ArrayLayout):
        element = Shape.cast(shape.elem_shape)
        yield Part(name, element.width, element.signed, shape.length)
    else:
        plain = Shape.cast(shape)
        yield Part(name, plain.width, plain.signed)


def _width(fields: list[Part]) -> int:
    return sum(field.width * max(field.count, 1) for field in fields)


def _pack(values: Mapping[str, np.ndarray], fields: list[Part]) -> np.ndarray:
    """Beats as bytes uint8 [n, bytes], lowest first."""
    unknown = set(values) - {field.name for field in fields}
    if unknown:
        raise UserError(f"no input parts {sorted(unknown)}; there are {[field.name for field in fields]}")
    counts = {len(one) for one in values.values()}
    if len(counts) != 1:
        raise UserError(f"the parts of beats must be of one length, not {sorted(counts)}")
    (count,) = counts
    bits = []
    for field in fields:
        shape = (count, max(field.count, 1))
        own = np.asarray(values.get(field.name, np.zeros(shape, np.int64)), np.int64).reshape(shape)
        bits.append((own[:, :, None] >> np.arange(field.width) & 1).astype(np.uint8).reshape(count, -1))
    return np.packbits(np.concatenate(bits, axis=1), axis=1, bitorder="little")


def _unpack(words: np.ndarray, fields: list[Part]) -> dict[str, np.ndarray]:
    bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little").astype(np.int64)
    values, first = {}, 0
    for field in fields:
        last = first + field.width * max(field.count, 1)
        own = bits[:, first:last].reshape(len(words), -1, field.width)
        weights = 1 << np.arange(field.width, dtype=np.int64)
        if field.signed:
            weights[-1] = -weights[-1]
        number = own @ weights
        values[field.name], first = number if field.count else number[:, 0], last
    return values


def _wrapper(component: Component, inputs: list[Part], outputs: list[Part], beat_bytes: int, words: int) -> str:
    """Module ``stream_unit``: the unit behind one packed vector each way."""
    pins = [".clk(clk)", ".rst(rst)", ".i__valid(in_valid)", ".i__ready(in_ready)"]
    pins += [".o__valid(out_valid)", ".o__ready(out_ready)"]
    first = {"beat": 0, "answer": 0}
    for path, member, _ in component.signature.flatten(component):
        if ".".join(map(str, path)) in _HANDSHAKE:
            continue
        bus = "beat" if member.flow is In else "answer"
        width = Shape.cast(member.shape).width
        pins.append(f".{'__'.join(map(str, path))}({bus}[{first[bus] + width - 1}:{first[bus]}])")
        first[bus] += width
    spare = 32 * words - first["answer"]
    fill = f"  assign answer[{32 * words - 1}:{first['answer']}] = 0;\n" if spare else ""
    joined = ",\n    ".join(pins)
    return f"""module stream_unit(
  input clk, rst, input [{8 * beat_bytes - 1}:0] beat, input in_valid, output in_ready,
  output [{32 * words - 1}:0] answer, output out_valid, input out_ready
);
{fill}  unit unit (
    {joined}
  );
endmodule
"""
