// Plays a file of beats into the accelerator and writes its answers to another, so that a simulation
// needs no Python between its first and its last cycle.
//
// From the first `go` on, BEATS_FILE is played: a beat is {7'b0, tlast, tuser, tdata}, highest byte first.
// When all beats are taken and `answers` answers have come, ANSWERS_FILE is whole and `done` is high: an
// answer is {31'b0, tlast, cycle, tdata}, lowest byte first. Cycles count from the first beat taken, which
// is taken in cycle 0; `cycles` is one more than the last in which a beat or an answer was taken.
//
// In `stall_in` and `stall_out` of 65536 cycles, at random, the source offers nothing and the sink is not ready.
// A reset in the middle forgets all of that; the next `go` plays the file again.

module player #(
  parameter DATA_BYTES = 8,
  parameter USER_BYTES = 4,
  parameter COLUMNS = 1,
  parameter BEATS_FILE = "beats.bin",
  parameter ANSWERS_FILE = "answers.bin"
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
  localparam DATA = 8 * DATA_BYTES;
  localparam USER = 8 * USER_BYTES;
  localparam LANES = 32 * COLUMNS;

  reg clk, running, started;
  reg [31:0] taken, received, random, cycle;
  reg [DATA+USER+7:0] beat, fetched;
  reg s_valid, m_ready;
  wire s_ready, m_valid, m_last;
  wire [LANES-1:0] m_data;
  integer source, record, size;

  accelerator accelerator (
    .aclk(clk), .aresetn(reset_n),
    .s_axis_tdata(beat[DATA-1:0]), .s_axis_tuser(beat[DATA+:USER]), .s_axis_tlast(beat[DATA+USER]),
    .s_axis_tvalid(s_valid), .s_axis_tready(s_ready),
    .m_axis_tdata(m_data), .m_axis_tlast(m_last), .m_axis_tvalid(m_valid), .m_axis_tready(m_ready)
  );

  // A pulse without width: one step of simulated time a cycle, where a square wave takes two. It is made
  // here because a clock from outside the simulator takes a quarter of the run time.
  initial clk = 0;
  always #1 begin
    clk = 1;
    clk <= 0;
  end

  // AXI4-Stream: once valid, an answer stays as it is until it is taken.
  reg held;
  reg [LANES:0] answer;

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
      if (running === 1'b1) begin
        $fclose(source);
        $fclose(record);
      end
      {running, started, done, s_valid, m_ready, held} <= 0;
      {cycle, cycles, violations, taken, received} <= 0;
      random <= seed;
    end else begin
      random <= following(random);
      held <= m_valid && !m_ready;
      answer <= {m_last, m_data};
      if (held && (!m_valid || answer != {m_last, m_data})) violations <= violations + 1;

      if (go && !running && !done) begin
        source = $fopen(BEATS_FILE, "rb");
        record = $fopen(ANSWERS_FILE, "wb");
        running <= 1;
      end
      if (running) begin
        if (started || (s_valid && s_ready)) begin
          started <= 1;
          cycle <= cycle + 1;
        end
        if ((s_valid && s_ready) || (m_valid && m_ready)) cycles <= cycle + 1;
        if (!s_valid || s_ready) begin
          s_valid <= taken < beats && {1'b0, random[15:0]} >= stall_in;
          if (taken < beats && {1'b0, random[15:0]} >= stall_in) begin
            size = $fread(fetched, source);
            beat <= fetched;
            taken <= taken + 1;
          end
        end
        m_ready <= {1'b0, random[31:16]} >= stall_out;
        if (m_valid && m_ready) begin
          $fwrite(record, "%u", {31'b0, m_last, cycle, m_data});
          received <= received + 1;
        end
        if (taken == beats && !s_valid && received == answers) begin
          $fclose(source);
          $fclose(record);
          running <= 0;
          done <= 1;
        end
      end
    end
  end
endmodule
