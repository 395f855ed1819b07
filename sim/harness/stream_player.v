// Plays a file of beats into a unit with one stream in and one out, and writes its answers to another file,
// so that a simulation needs no Python between its first and its last cycle.
//
// From the first `go` on, beats.bin is played: BEAT_BYTES a beat, highest byte first. When all beats are taken
// and `answers` answers have come, answers.bin is whole and `done` is high: an answer is {cycle, payload} in
// ANSWER_WORDS + 1 words of 32 bits, lowest byte first.
//
// In `stall_in` and `stall_out` of 65536 cycles, at random, the source offers nothing and the sink is not ready.

module stream_player #(
  parameter BEAT_BYTES = 1,
  parameter ANSWER_WORDS = 1
) (
  input reset_n,
  input go,
  input [31:0] beats,
  input [31:0] answers,
  input [31:0] seed,
  input [16:0] stall_in,
  input [16:0] stall_out,
  output reg done,
  output reg [31:0] cycles,
  output reg [31:0] violations
);
  localparam DATA = 32 * ANSWER_WORDS;

  reg clk, running;
  reg [31:0] taken, received, random;
  reg [8*BEAT_BYTES-1:0] beat, fetched;
  reg in_valid, out_ready;
  wire in_ready, out_valid;
  wire [DATA-1:0] answer;
  integer source, record, size;

  stream_unit unit (
    .clk(clk), .rst(!reset_n), .beat(beat), .in_valid(in_valid), .in_ready(in_ready),
    .answer(answer), .out_valid(out_valid), .out_ready(out_ready)
  );

  initial clk = 0;
  always #1 begin  // a pulse without width: one step of simulated time a cycles
    clk = 1;
    clk <= 0;
  end

  // Once valid, an answer stays as it is until it is taken.
  reg held;
  reg [DATA-1:0] held_answer;

  function [31:0] following(input [31:0] state);  // Marsaglia's xorshift
    reg [31:0] x;
    begin
      x = state ^ (state << 13);
      x = x ^ (x >> 17);
      following = x ^ (x << 5);
    end
  endfunction

  always @(posedge clk) begin
    if (!reset_n) begin
      {running, done, in_valid, out_ready, held} <= 0;
      {cycles, violations, taken, received} <= 0;
      random <= seed;
    end else begin
      cycles <= cycles + 1;
      random <= following(random);
      held <= out_valid && !out_ready;
      held_answer <= answer;
      if (held && (!out_valid || held_answer != answer)) violations <= violations + 1;

      if (go && !running && !done) begin
        source = $fopen("beats.bin", "rb");
        record = $fopen("answers.bin", "wb");
        running <= 1;
      end
      if (running) begin
        if (!in_valid || in_ready) begin
          in_valid <= taken < beats && {1'b0, random[15:0]} >= stall_in;
          if (taken < beats && {1'b0, random[15:0]} >= stall_in) begin
            size = $fread(fetched, source);
            beat <= fetched;
            taken <= taken + 1;
          end
        end
        out_ready <= {1'b0, random[31:16]} >= stall_out;
        if (out_valid && out_ready) begin
          $fwrite(record, "%u", {cycles, answer});
          received <= received + 1;
        end
        if (taken == beats && !in_valid && received == answers) begin
          $fclose(source);
          $fclose(record);
          running <= 0;
          done <= 1;
        end
      end
    end
  end
endmodule
