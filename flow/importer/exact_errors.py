"""Exact error figures of wide cells: a netlist as compiled code that takes 256 operand pairs at a time.

2^32 pairs take half a minute of a core this way, where the plain loop over planes takes a quarter of an hour.
"""

import ctypes
import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from slipstick.model.kernels.compiler import FLAGS, TUNING, KernelError, compile_library, find_compiler
from slipstick.rtl.cells import Cell, ErrorFigures
from slipstick.rtl.cells.errors import exhaustive, operand_values
from slipstick.rtl.cells.netlist import AND, NOT, OR

NARROWEST_W = 8  # bits of operand w that a block of 256 pairs takes
WIDEST_PRODUCT = 32
ROWS = 64  # values of operand a between two reports of progress
# Planes are vectors of 256 bits: pair 32 i + j of a block is bit j of element i. Transposing 32 planes gives 32
# vectors of eight products each.
_SOURCE = """
#include <stdint.h>
#include <string.h>
typedef uint32_t W __attribute__((vector_size(32)));
typedef int32_t I __attribute__((vector_size(32)));
typedef double D __attribute__((vector_size(64), aligned(8)));
typedef int64_t L __attribute__((vector_size(64)));
static const W element = {0, 1, 2, 3, 4, 5, 6, 7};
static inline W all(uint32_t bit) { uint32_t m = -(bit & 1); return (W){m, m, m, m, m, m, m, m}; }
static inline void transpose(W *p)
{
    uint32_t m = 0x0000FFFF;
    for (int j = 16; j; j >>= 1, m ^= m << j)
        for (int k = 0; k < 32; k = ((k | j) + 1) & ~j) {
            W t = ((p[k] >> j) ^ p[k | j]) & m;
            p[k | j] ^= t;
            p[k] ^= t << j;
        }
}
static void products(uint64_t a, uint32_t block, W *p)
{
    const W zero = all(0), one = all(1);
    static const uint32_t low[5] = {0xAAAAAAAA, 0xCCCCCCCC, 0xF0F0F0F0, 0xFF00FF00, 0xFFFF0000};
@GATES@
}
extern "C" void slipstick_row(uint32_t a, double a_value, const D *w, const D *inverse_w, double *sums)
{
    D error_sum = {}, size_sum = {}, square_sum = {}, relative_sum = {}, worst = {};
    L wrong = {};
    for (uint32_t block = 0; block < 1u << (@WIDTH_W@ - 8); block++) {
        W p[32];
        products(a, block, p);
        transpose(p);
        for (int j = 0; j < 32; j++, w++, inverse_w++) {
            const D error = @CONVERT@ - *w * a_value;
            const D size = (D)((L)error & INT64_MAX);
            error_sum += error;
            size_sum += size;
            square_sum += error * error;
            relative_sum += size * *inverse_w;
            worst = size > worst ? size : worst;
            wrong -= error != 0;
        }
    }
    memset(sums, 0, 6 * sizeof *sums);
    for (int i = 0; i < 8; i++) {
        sums[0] += error_sum[i]; sums[1] += size_sum[i]; sums[2] += square_sum[i]; sums[3] += relative_sum[i];
        sums[4] = worst[i] > sums[4] ? worst[i] : sums[4]; sums[5] += wrong[i];
    }
}
"""


def exact_errors(cell: Cell, progress: Callable[[int, int], object] | None = None) -> ErrorFigures:
    """Figures over all pairs; ``progress(done, total)`` counts pairs. Sums of integers are exact.

    Without a compiler, or where operand w is too narrow for blocks, the plain loop does it.
    """
    if cell.widths[1] < NARROWEST_W or cell.product_width > WIDEST_PRODUCT:
        return exhaustive(cell.netlist, cell.signed, progress)
    with tempfile.TemporaryDirectory(prefix="slipstick-errors-") as folder:
        try:
            library = _compile(source(cell), Path(folder))
        except KernelError:
            return exhaustive(cell.netlist, cell.signed, progress)
        return _run(library, cell, progress)


def source(cell: Cell) -> str:
    """The C++ code of a cell: its gates, one statement each, and the sums over a row of its table."""
    nodes = ["zero", "one"]
    nodes += [f"all(a >> {bit})" for bit in range(cell.widths[0])]
    for bit in range(cell.widths[1]):
        lane = f"((W){{}} + low[{bit}])" if bit < 5 else f"(-((element >> {bit - 5}) & 1))"
        nodes.append(lane if bit < NARROWEST_W else f"all(block >> {bit - NARROWEST_W})")
    lines = [f"    const W i{index} = {text};" for index, text in enumerate(nodes[2:], 2)]
    names = [*nodes[:2], *(f"i{index}" for index in range(2, len(nodes)))]
    for gate, x, y in cell.netlist.gates:
        operator = "&" if gate == AND else "|" if gate == OR else "^"
        text = f"~{names[x]}" if gate == NOT else f"{names[x]} {operator} {names[y]}"
        names.append(f"n{len(names)}")
        lines.append(f"    const W {names[-1]} = {text};")
    width = cell.product_width
    outputs = [names[node] for node in cell.netlist.outputs]
    outputs += [outputs[-1] if cell.signed else "zero"] * (WIDEST_PRODUCT - width)  # sign extension
    lines += [f"    p[{bit}] = {name};" for bit, name in enumerate(outputs)]
    convert = "__builtin_convertvector((I)p[j], D)"
    if not cell.signed:  # few processors convert unsigned integers
        convert = "(__builtin_convertvector((I)(p[j] ^ 0x80000000), D) + 2147483648.0)"
    text = _SOURCE.replace("@GATES@", "\n".join(lines)).replace("@WIDTH_W@", str(cell.widths[1]))
    return text.replace("@CONVERT@", convert)


def _compile(text: str, folder: Path) -> ctypes.CDLL:
    (folder / "errors.cpp").write_text(text)
    refusal = KernelError()
    for tuning in TUNING:
        try:
            return ctypes.CDLL(str(compile_library(find_compiler(), (*FLAGS, *tuning), folder / "errors.cpp", folder)))
        except KernelError as error:
            refusal = error
    raise refusal


def _run(library: ctypes.CDLL, cell: Cell, progress: Callable[[int, int], object] | None) -> ErrorFigures:
    pointer = ctypes.c_void_p
    library.slipstick_row.argtypes = [ctypes.c_uint32, ctypes.c_double, pointer, pointer, pointer]
    library.slipstick_row.restype = None
    left, right = (operand_values(width, cell.signed) for width in cell.widths)
    values = np.ascontiguousarray(right.reshape(-1, 8, 32).transpose(0, 2, 1), np.float64)  # as transposed planes lie
    inverse = np.divide(1.0, np.abs(values), out=np.zeros(values.shape), where=values != 0)
    row = np.zeros(6)
    error = size = wrong = 0
    worst = 0.0
    squares, relatives = [], []
    for bits, value in enumerate(left.tolist()):
        library.slipstick_row(bits, value, values.ctypes.data, inverse.ctypes.data, row.ctypes.data)
        error += int(row[0])
        size += int(row[1])
        squares.append(row[2])
        relatives.append(row[3] / abs(value) if value else 0.0)
        worst = max(worst, row[4])
        wrong += int(row[5])
        if progress and (bits + 1) % ROWS == 0:
            progress((bits + 1) * right.size, left.size * right.size)
    pairs = left.size * right.size
    mse, bias = math.fsum(squares) / pairs, error / pairs
    return ErrorFigures(
        mae=size / pairs,
        wce=int(worst),
        ep=wrong / pairs,
        mre=math.fsum(relatives) / ((left.size - 1) * (right.size - 1)),
        mse=mse,
        bias=bias,
        variance=mse - bias**2,
    )
