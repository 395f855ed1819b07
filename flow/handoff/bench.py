"""A bench that plays a small matrix product through the design and checks every answer, in plain Verilog."""

import numpy as np

from slipstick.rtl.spec.array import matmul
from slipstick.rtl.spec.beats import FIELDS, Beats, MatrixProduct, schedule
from slipstick.rtl.spec.fixed import Requant
from slipstick.rtl.spec.interpreter import run

from .design import HandedDesign

ROWS = 3  # of activations
SEED = 1


def testbench(design: HandedDesign) -> str:
    """SystemVerilog of module ``<top>_tb``: it ends with a line PASS, or fatally.

    Both sides pause at random. After one clock of reset no handshake may be unknown, nor may any bit of an answer.
    """
    stream, lanes, last = _exercise(design)
    rows, columns, user = design.config.array.rows, design.config.array.columns, sum(FIELDS.values())
    width = 8 * (rows + columns)
    words = [
        (int(tag) << 1 | int(end), int.from_bytes(data.tobytes(), "little"))
        for data, tag, end in zip(stream.data(), stream.user(), stream.fields["end"], strict=True)
    ]
    beats = [f"    beats[{i}] = {{{user + 1}'h{tag:x}, {width}'h{word:x}}};" for i, (tag, word) in enumerate(words)]
    answers = [
        f"    answers[{i}] = {{1'b{end:d}, {32 * columns}'h{int.from_bytes(row.astype('<i4').tobytes(), 'little'):x}}};"
        for i, (row, end) in enumerate(zip(lanes, last, strict=True))
    ]
    return f"""// Plays {ROWS} rows of activations through {design.top}: reserved addresses, weights, both answers.
`timescale 1ns / 1ps
module {design.top}_tb;
  localparam BEATS = {len(words)}, ANSWERS = {len(answers)};
  reg clock = 1'b0, reset_n = 1'b0, started = 1'b0;
  reg [{width + user}:0] beats [0:BEATS-1];
  reg [{32 * columns}:0] answers [0:ANSWERS-1];
  reg [15:0] random = 16'hace1;
  integer sent = 0, received = 0, wrong = 0, cycles = 0;
  wire s_ready, m_valid, m_last;
  wire [{32 * columns - 1}:0] m_data;
  wire s_valid = reset_n && sent < BEATS && random[0];
  wire m_ready = random[3];
  wire [{width + user}:0] beat = beats[sent < BEATS ? sent : 0];
  always #5 clock = !clock;

  {design.top} dut (
    .{design.clock_port}(clock), .aresetn(reset_n),
    .s_axis_tdata(beat[{width - 1}:0]), .s_axis_tuser(beat[{width + user}:{width + 1}]),
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
    if (cycles > {200 * (len(words) + len(answers)) + 20 * (rows + columns)}) begin
      $display("FAIL: %0d of %0d answers", received, ANSWERS);
      $fatal(1);
    end
  end
endmodule
"""


def _exercise(design: HandedDesign) -> tuple[Beats, np.ndarray, np.ndarray]:
    """Beats, and the answers to them: lanes int32 [n, C], and which of them are marked as the last, bool [n].

    Beats that change nothing stand before the first: idle ones, and writes of a reserved address.
    """
    config, rng = design.config, np.random.default_rng(SEED)
    array = config.array
    rows, tiles = min(ROWS, config.accumulator_rows), min(2, config.depth)
    activations = rng.integers(-128, 128, (rows, tiles * array.rows)).astype(np.int8)
    weights = rng.integers(-127, 128, (tiles * array.rows, array.columns)).astype(np.int8)
    bias = rng.integers(-100, 100, array.columns).astype(np.int32)
    sums = matmul(array, activations, weights) + bias
    requant = Requant.from_scale(np.full(array.columns, 100 / max(1, np.abs(sums).max())))
    beats = schedule(config, [MatrixProduct(activations, weights, bias, requant)]).beats
    fields = beats.fields
    answering = fields["compute"] & fields["last"]
    nothing = np.zeros(2, fields.dtype)
    nothing["write"][1], nothing["address"][1] = True, (1 << FIELDS["address"]) - 1
    noise = [rng.integers(-128, 128, (2, lanes)).astype(np.int8) for lanes in (array.rows, array.columns)]
    whole = Beats(
        np.concatenate([noise[0], beats.activations]),
        np.concatenate([noise[1], beats.weights]),
        np.concatenate([nothing, fields]),
    )
    return whole, run(config, beats), fields["end"][answering]
