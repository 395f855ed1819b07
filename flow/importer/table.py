"""Tables of products as files or arrays: .npy, .csv, or an array in a C header."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from slipstick.errors import UserError

from .forms import WIDTHS, Form, check_widths
from .verilog_lexer import read_text

INDEXINGS = ("bits", "value")
COMMENT = re.compile(r"//[^\n]*|/\*.*?(?:\*/|\Z)", re.S)  # of C; an open one goes on to the end
_ARRAY = re.compile(r"\b([A-Za-z_]\w*)\s*((?:\[\s*\w*\s*\]\s*){1,2})=\s*\{([^;=]*)\}\s*;")
_NUMBER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9]\d*)(?:[uU]?[lL]{0,2}|[lL]{1,2}[uU])\b")


def read_table(
    path: Path, *, signed: bool | None = None, index: str = "bits", widths: tuple[int, int] | None = None
) -> Form:
    """Read a table file of products [operand a, operand w]; see ``table_form``."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        table = _read_npy(path)
    elif suffix in (".csv", ".txt"):
        table = _read_csv(path)
    else:
        table = _read_header(path)
    form = table_form(table, path.name, signed=signed, index=index, widths=widths)
    return replace(form, name=path.stem)


def table_form(
    table: np.ndarray,
    source: str = "the table",
    *,
    signed: bool | None = None,
    index: str = "bits",
    widths: tuple[int, int] | None = None,
) -> Form:
    """A table of products, integers [2^wa, 2^ww], as a form of a cell.

    ``index`` says what a row or column number is: the operand's ``bits``, or its ``value`` counted from the lowest,
    so that for signed operands row 0 is the most negative. A flat table needs ``widths`` unless it is square.
    UserError for a wrong shape, products that are no integers or out of range.
    """
    table = np.asarray(table)
    if index not in INDEXINGS:
        raise UserError(f"index {index!r}: a table is indexed by {' or '.join(INDEXINGS)}")
    if table.dtype.kind not in "iu":
        if table.dtype.kind != "f" or not (np.isfinite(table) & (table == np.rint(table))).all():
            raise UserError(f"{source} holds {table.dtype} that are no whole numbers")
        if np.abs(table).max(initial=0) >= 2**53:
            raise UserError(f"{source} holds {table.dtype} beyond 2^53, which are not exact")
    table = table.astype(np.int64)
    shape = _shape(table, widths, source)
    check_widths(shape, source)
    table = table.reshape(1 << shape[0], 1 << shape[1])
    if (table < 0).any():
        if signed is False:
            raise UserError(f"{source} holds negative products, {table.min()} among them, of an unsigned cell")
        signed = True
    width = sum(shape)
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
    wrong = (table < low) | (table > high)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise UserError(f"{source}[{row}][{column}] is {table[row, column]}, outside {low} to {high}")
    if index == "value" and signed is not False:
        if signed is None:
            raise UserError(f"{source} is indexed by value: say --signed or --unsigned")
        table = np.roll(table, [1 << (width - 1) for width in shape], (0, 1))  # row 0 becomes operand 0
    bits = (table & ((1 << width) - 1)).astype(np.uint32)
    return Form(source, shape, lambda a, w: bits[a, w].astype(np.int64), signed=signed)


def _shape(table: np.ndarray, widths: tuple[int, int] | None, source: str) -> tuple[int, int]:
    found = " x ".join(map(str, table.shape))
    if table.size < 4 ** WIDTHS[0]:
        raise UserError(f"{source} is {found}; a table of products has 2^wa rows of 2^ww, such as 256 x 256")
    if table.ndim == 1 and widths is None:
        width = (table.size.bit_length() - 1) // 2
        widths = (width, width)
    if widths is None:
        if table.ndim != 2 or any(side & (side - 1) or side.bit_length() - 1 not in WIDTHS for side in table.shape):
            raise UserError(f"{source} is {found}; a table of products has 2^wa rows of 2^ww, such as 256 x 256")
        return table.shape[0].bit_length() - 1, table.shape[1].bit_length() - 1
    check_widths(widths, source)
    rows, columns = (1 << width for width in widths)
    if table.size != rows * columns or (table.ndim == 2 and table.shape != (rows, columns)) or table.ndim not in (1, 2):
        raise UserError(f"{source} is {found}, not {rows} x {columns} products")
    return widths


def _read_npy(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"cannot read {path}: {reason}; save integers with numpy.save") from error


def _read_csv(path: Path) -> np.ndarray:
    lines = [line for line in read_text(path).splitlines() if line.strip() and not line.lstrip().startswith("#")]
    rows = []
    for number, line in enumerate(lines, 1):
        words = re.split(r"\s*[,;]\s*|\s+", line.strip().strip(",;").strip())
        try:
            rows.append([int(word) for word in words])
        except ValueError:
            raise UserError(f"{path}: row {number} is not whole numbers separated by commas: {line[:40]!r}") from None
        if len(rows[-1]) != len(rows[0]):
            raise UserError(f"{path}: row {number} has {len(rows[-1])} numbers, the first has {len(rows[0])}")
    return _integers(rows[0] if len(rows) == 1 else rows, path)


def _read_header(path: Path) -> np.ndarray:
    """The one array of integers that a C header initialises."""
    found = list(_ARRAY.finditer(COMMENT.sub(" ", read_text(path))))
    if len(found) != 1:
        raise UserError(f"{path} has {len(found) or 'no'} arrays of numbers; a table is one, "
                        "such as: const int lut[256][256] = {{0, ...}, ...};")  # fmt: skip
    name, _, body = found[0].groups()
    rows = [row for row in re.split(r"[{}]", body) if row.strip(" \t\r\n,")]
    numbers = []
    for number, row in enumerate(rows):
        words = [word.strip() for word in row.strip(" \t\r\n,").split(",")]
        for word in words:
            if not _NUMBER.fullmatch(word):
                raise UserError(f"{path}: {name}[{number}] holds {word[:40]!r}, which is no whole number")
        numbers.append([_c_integer(word) for word in words])
    if len({len(row) for row in numbers}) > 1:
        raise UserError(f"{path}: the rows of {name} differ in length")
    return _integers(numbers[0] if len(numbers) == 1 else numbers, path)


def _c_integer(word: str) -> int:
    word = word.rstrip("uUlL")
    octal = word.lstrip("+-").startswith("0") and word.strip("+-0") and "x" not in word.lower()
    return int(word, 8 if octal else 0)


def _integers(values: list[int] | list[list[int]], path: Path) -> np.ndarray:
    try:
        return np.array(values, np.int64)
    except OverflowError:
        raise UserError(f"{path} holds numbers of more than 64 bits") from None
