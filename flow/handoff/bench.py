"""A bench that plays a small matrix product through the design and checks every answer, in plain Verilog."""

import numpy as np

from slipstick.rtl.spec.array import matmul
from slipstick.rtl.spec.fixed import Requant
from slipstick.rtl.spec.schedule import KIND_BITS, Kind, Schedule, data_bytes, schedule

from .design import HandedDesign

ROWS = 3  # of activations
SEED = 1


def testbench(design: HandedDesign) -> str:
    """SystemVerilog of module ``<top>_tb``: it ends with a line PASS, or fatally.

    Both sides pause at random. After one clock of reset no handshake may be unknown, nor may any bit of an answer.
    """
    plan, lanes, last = _exercise(design)
    width, columns = 8 * data_bytes(design.array), design.array.columns
    reserved = [(max(Kind) + 1 << 1, 0)]  # a beat of no kind: it must change nothing
    words = reserved + [
        (int(kind) << 1 | int(end), int.from_bytes(data.tobytes(), "little"))
        for data, kind, end in zip(plan.beats.data, plan.beats.kind, plan.beats.last, strict=True)
    ]
    beats = [
        f"    beats[{i}] = {{{KIND_BITS + 1}'h{tag:x}, {width}'h{word:x}}};" for i, (tag, word) in enumerate(words)
    ]
    answers = [
        f"    answers[{i}] = {{1'b{end:d}, {32 * columns}'h{int.from_bytes(row.astype('<i4').tobytes(), 'little'):x}}};"
        for i, (row, end) in enumerate(zip(lanes, last, strict=True))
    ]
    return f"""// Plays {ROWS} rows of activations through {design.top}: reserved beats, weights, sums, both drains.
`timescale 1ns / 1ps
module {design.top}_tb;
  localparam BEATS = {len(words)}, ANSWERS = {len(answers)};
  reg clock = 1'b0, reset_n = 1'b0, started = 1'b0;
  reg [{width + KIND_BITS}:0] beats [0:BEATS-1];
  reg [{32 * columns}:0] answers [0:ANSWERS-1];
  reg [15:0] random = 16'hace1;
  integer sent = 0, received = 0, wrong = 0, cycles = 0;
  wire s_ready, m_valid, m_last;
  wire [{32 * columns - 1}:0] m_data;
  wire s_valid = reset_n && sent < BEATS && random[0];
  wire m_ready = random[3];
  wire [{width + KIND_BITS}:0] beat = beats[sent < BEATS ? sent : 0];
  always #5 clock = !clock;

  {design.top} dut (
    .{design.clock_port}(clock), .aresetn(reset_n),
    .s_axis_tdata(beat[{width - 1}:0]), .s_axis_tuser(beat[{width + KIND_BITS}:{width + 1}]),
    .s_axis_tlast(beat[{width}]), .s_axis_tvalid(s_valid), .s_axis_tready(s_ready),
    .m_axis_tdata(m_data), .m_axis_tlast(m_last), .m_axis_tvalid(m_valid), .m_axis_tready(m_ready)
  );

  initial begin
{chr(10).join(beats + answers)}
    @(posedge clock);
    @(negedge clock) reset_n = 1'b1;
  end

  always @(posedge clock) if (reset_n) begin
    random <= {{random[14:0], random[15] ^ random[13] ^ random[12] ^ random[10]}};
    cycles <= cycles + 1;
    if ((s_ready ^ m_valid) === 1'bx) begin
      $display("FAIL: a handshake is unknown in cycle %0d", cycles);
      $fatal(1);
    end
    if (s_valid && s_ready) sent <= sent + 1;
    if (m_valid && m_ready) begin
      received <= received + 1;
      if (received >= ANSWERS || {{m_last, m_data}} !== answers[received]) begin
        $display("FAIL: answer %0d is %b %h, not %h", received, m_last, m_data, answers[received]);
        $fatal(1);
      end
    end
    if (received == ANSWERS && sent == BEATS) begin
      $display("PASS: %0d answers of %0d lanes in %0d cycles", received, {columns}, cycles);
      $finish;
    end
    if (cycles > {200 * (len(words) + len(answers)) + 20 * (design.array.rows + columns)}) begin
      $display("FAIL: %0d of %0d answers", received, ANSWERS);
      $fatal(1);
    end
  end
endmodule
"""


def _exercise(design: HandedDesign) -> tuple[Schedule, np.ndarray, np.ndarray]:
    """Beats, and the answers to them: lanes int32 [n, C], and the mark of the last of each drain, bool [n]."""
    array, rng = design.array, np.random.default_rng(SEED)
    rows, tiles = min(ROWS, design.accumulator_rows), min(2, design.depth)
    activations = rng.integers(-128, 128, (rows, tiles * array.rows)).astype(np.int8)
    weights = rng.integers(-127, 128, (tiles * array.rows, array.columns)).astype(np.int8)
    bias = rng.integers(-100, 100, array.columns).astype(np.int32)
    sums = matmul(array, activations, weights) + bias
    requant = Requant.from_scale(np.full(array.columns, 100 / max(1, np.abs(sums).max())))
    plan = schedule(array, activations, weights, bias, requant, accumulator_rows=design.accumulator_rows)
    wanted = {Kind.DRAIN_ACCUMULATORS: sums, Kind.DRAIN_OUTPUTS: requant(sums.astype(np.int32))}
    lanes, last = [], []
    marks = plan.beats.last[plan.beats.kind >= Kind.DRAIN_ACCUMULATORS]
    for drain, mark in zip(plan.drains, marks, strict=True):
        for row in range(drain.rows):
            lane = np.zeros(array.columns, np.int64)
            lane[list(drain.columns)] = wanted[drain.kind][drain.first_row + row]
            lanes.append(lane)
            last.append(bool(mark) and row == drain.rows - 1)
    return plan, np.stack(lanes), np.array(last)
