"""A C function becomes a cell only when running it is allowed, and says what is wrong in one line."""

from pathlib import Path

import numpy as np
import pytest

from slipstick.errors import UserError
from slipstick.flow.importer import c_function, from_c, import_files

INCLUDE = "#include <stdint.h>\n"


@pytest.fixture
def read(tmp_path: Path):
    def read(text: str, function: str = "f", **options):
        path = tmp_path / "f.c"
        path.write_text(INCLUDE + text)
        return from_c(path, function, **{"allow_run": True} | options)

    return read


def test_nothing_is_compiled_or_run_without_leave(read, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(c_function, "_child", lambda *a, **k: pytest.fail("ran"))
    with pytest.raises(UserError, match="f.c would be compiled and run with your rights; add --allow-run-c"):
        read("uint16_t f(uint8_t a, uint8_t b) { return a * b; }", allow_run=False)


@pytest.mark.parametrize("text, signed", [
    ("uint16_t f(uint8_t a, uint8_t b) { return a * b; }", False),
    ("int16_t f(int8_t a, int8_t b) { return a * b; }", True),
    ("uint16_t f(uint8_t a, uint8_t b) { return (int8_t)a * (int8_t)b; }", True),
    ("int f(const int8_t a, signed char b) { return a * b; }", True),
    ("static inline int f(unsigned char a, uint8_t b) { return a * b; }\nint main(void) { return 1; }", False),
    ("// uint16_t f(int8_t x, int8_t y) {\nuint16_t f\n(uint8_t a,\n uint8_t b)\n{ return a * b; }", False),
])  # fmt: skip
def test_operands_are_bits_or_values_as_the_types_say(read, text: str, signed: bool) -> None:
    found = read(text)
    assert found.signed == signed and found.errors.wce == 0 and found.name == "f"


@pytest.mark.parametrize("signed", [True, False])
def test_wide_signed_types_take_values_and_wide_unsigned_ones_bits(read, signed: bool) -> None:
    assert read("int f(int a, int b) { return a * b; }", widths=(5, 5), signed=signed).errors.wce == 0
    value = "(int64_t)({0} & 16 ? {0} - 32 : {0})" if signed else "{0}"
    product = f"{value.format('a')} * {value.format('b')}"
    bits = f"uint64_t f(uint64_t a, uint64_t b) {{ return (a | b) >> 5 ? 1 << 20 : {product}; }}"
    assert read(bits, widths=(5, 5), signed=signed).errors.wce == 0


def test_parameters_called_b_and_a_are_taken_in_that_order(read) -> None:
    text = "uint16_t f(const uint8_t {}, const uint8_t {}) {{ return {} << 8; }}"
    b_first = read(text.format("B", "A", "A"), signed=False)
    np.testing.assert_array_equal(b_first.table, np.arange(256)[:, None] << 8 | 0 * b_first.table)
    x_first = read(text.format("x", "y", "x"), signed=False)
    assert x_first.digest == b_first.digest


def test_c_and_verilog_of_one_cell_are_matched_by_name_and_compared(tmp_path: Path) -> None:
    (tmp_path / "mul.v").write_text(
        "module mul(input [3:0] A, input [3:0] B, output [7:0] O); assign O = {A, B}; endmodule"
    )
    (tmp_path / "mul.c").write_text(INCLUDE + "uint64_t mul(uint64_t B, uint64_t A) { return A << 4 | B; }")
    paths = [tmp_path / "mul.v", tmp_path / "mul.c"]
    found = import_files(paths, allow_run_c=True, signed=False)
    assert "mul.v and mul.c agree on all 256 pairs" in found.notes
    assert "operand a is A, operand w is B of mul()" in found.notes
    (tmp_path / "mul.c").write_text(INCLUDE + "uint64_t mul(uint64_t A, uint64_t B) { return B << 4 | A; }")
    with pytest.raises(UserError, match="differ on 240 of 256 pairs"):
        import_files(paths, allow_run_c=True, signed=False)


def test_beyond_24_bits_forms_are_compared_on_a_stated_sample(tmp_path: Path) -> None:
    (tmp_path / "mul.v").write_text("module mul(input [15:0] a, w, output [31:0] p); assign p = a * w; endmodule")
    (tmp_path / "mul.c").write_text(INCLUDE + "uint32_t mul(uint16_t a, uint16_t w) { return (uint32_t)a * w; }")
    found = import_files([tmp_path / "mul.v", tmp_path / "mul.c"], allow_run_c=True)
    assert "mul.v and mul.c agree on 1,048,640 of 2^32 pairs" in found.notes
    (tmp_path / "mul.c").write_text(
        INCLUDE + "uint32_t mul(uint16_t a, uint16_t w) { return a == 65535 && w == 65535 ? 0 : (uint32_t)a * w; }"
    )
    with pytest.raises(UserError, match=r"differ on 1 of .*first: 65535 x 65535 is 4294836225 and 0"):
        import_files([tmp_path / "mul.v", tmp_path / "mul.c"], allow_run_c=True)


BAD = {
    "no such function": ("int g(int8_t a, int8_t b) { return 0; }", "does not define a function 'f'"),
    "a declaration only": ("int f(int8_t a, int8_t b);", "does not define a function 'f' with a body"),
    "one parameter": ("int f(int8_t a) { return 0; }", "must take two integers"),
    "a pointer": ("int f(int8_t *a, int8_t b) { return 0; }", "must take two integers"),
    "wide types": ("int f(uint32_t a, uint32_t b) { return 0; }", "does not tell the operands' widths; give --widths"),
    "a syntax error": ("int f(int8_t a, int8_t b) { return a * ; }", "the compiler refuses .*f.c:2: expected"),
    "an include outside": ('#include "nowhere.h"\nint f(int8_t a, int8_t b) { return 0; }', "refuses .*nowhere.h"),
    "a wide result": ("long f(int8_t a, int8_t b) { return 1 << 20; }", "returns 1048576, more than the product's 16"),
    "a crash": ("int f(uint8_t a, uint8_t b) { return a / b; }", "failed while it computed the products"),
    "an exit": ("#include <stdlib.h>\nint f(uint8_t a, uint8_t b) { exit(0); }", "ended before it had computed all"),
}  # fmt: skip


@pytest.mark.parametrize("text, message", BAD.values(), ids=BAD)
def test_what_is_no_multiplier_is_refused_in_one_line(read, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read(text)
    assert "\n" not in str(caught.value)


def test_a_function_without_end_is_stopped(read, monkeypatch) -> None:
    monkeypatch.setattr(c_function, "RUN_TIMEOUT_S", 1)
    with pytest.raises(UserError, match="did not compute all products within 1 s|failed while"):
        read("int f(int8_t a, int8_t b) { for (;;); }")


def test_types_wider_than_the_operands_ask_for_the_sign(read) -> None:
    with pytest.raises(UserError, match=r"f\(int, int\): are the operands --signed or --unsigned"):
        read("int f(int a, int b) { return a * b; }", widths=(5, 5))


def test_a_function_name_with_metacharacters_is_refused(read) -> None:
    with pytest.raises(UserError, match="no plain identifier"):
        read("int f(int8_t a, int8_t b) { return 0; }", function="f;system")
