"""A multiplier as a C function: compiled and run in a child process with limits, and only when the user allows it."""

import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from slipstick.errors import UserError
from slipstick.model.kernels.compiler import KernelError, find_compiler

from .forms import ALL_PAIRS, Form, check_widths
from .table import COMMENT
from .verilog_lexer import read_text

COMPILE_TIMEOUT_S = 60
RUN_TIMEOUT_S = 120
MEMORY_BYTES = 2 << 30
LARGEST_FILE = 1 << 30
_WIDTHS = {"int8": 8, "char": 8, "int16": 16, "short": 16}
_PLAIN = re.compile(r"[A-Za-z_]\w*")
_TYPE = re.compile(r"[A-Za-z_][\w ]*")
# Parameters of a signed type get the operand's value, those of an unsigned type its bits: EvoApproxLib's signed
# multipliers have unsigned types and read bits.
_HARNESS = """
#include <stdint.h>
#include <stdio.h>
#define main slipstick_main_of_the_cell
#include "cell.c"
#undef main
typedef {first_type} slipstick_first;
typedef {second_type} slipstick_second;
static int64_t slipstick_operand(uint64_t bits, int width, int is_signed)
{{
    return is_signed && (bits >> (width - 1)) & 1 ? (int64_t)(bits - ((uint64_t)1 << width)) : (int64_t)bits;
}}
static int slipstick_product(FILE *out, uint64_t a, uint64_t w)
{{
    int64_t first = slipstick_operand({first}, {first_width}, {signed} && (slipstick_first)-1 < 0);
    int64_t second = slipstick_operand({second}, {second_width}, {signed} && (slipstick_second)-1 < 0);
    int64_t product = (int64_t){function}((slipstick_first)first, (slipstick_second)second);
    return fwrite(&product, sizeof product, 1, out) == 1;
}}
int main(void)
{{
    FILE *pairs = fopen("pairs", "rb"), *out = fopen("products", "wb");
    uint64_t pair[2];
    if (!out) return 1;
    while (pairs && fread(pair, sizeof pair, 1, pairs) == 1)
        if (!slipstick_product(out, pair[0], pair[1])) return 1;
    for (pair[0] = 0; !pairs && pair[0] >> {width_a} == 0; pair[0]++)
        for (pair[1] = 0; pair[1] >> {width_w} == 0; pair[1]++)
            if (!slipstick_product(out, pair[0], pair[1])) return 1;
    return fclose(out) != 0;
}}
"""


@dataclass(frozen=True)
class Prototype:
    """A function of two integers: types and names of its parameters, in its order."""

    function: str
    types: tuple[str, str]
    names: tuple[str, str]

    @property
    def widths(self) -> tuple[int, int] | None:
        """Operand widths that the types tell; None for types wider than 16 bits."""
        found = [next((bits for word, bits in _WIDTHS.items() if word in kind), None) for kind in self.types]
        return (found[0], found[1]) if found[0] and found[1] else None

    @property
    def is_signed(self) -> bool:
        """Whether both parameters are of signed types."""
        return not any(re.search(r"\bunsigned\b|\buint|\bsize_t|[Bb]ool\b", kind) for kind in self.types)


def find_prototype(text: str, function: str, source: str) -> Prototype:
    """The prototype of ``function`` in C ``text``; UserError unless it takes two integers."""
    if not _PLAIN.fullmatch(function):
        raise UserError(f"C function name {function!r} is no plain identifier")
    match = re.search(rf"\b{function}\s*\(([^()]*)\)\s*\{{", COMMENT.sub(" ", text))
    if not match:
        raise UserError(f"{source} does not define a function {function!r} with a body")
    parameters = [" ".join(parameter.split()) for parameter in match[1].split(",")]
    found = [re.fullmatch(r"(.*\w) +(\w+)", parameter) for parameter in parameters]
    if len(found) != 2 or not all(one and _TYPE.fullmatch(one[1]) for one in found):
        raise UserError(f"{function}({', '.join(parameters)}) in {source} must take two integers")
    kinds = [re.sub(r"\b(const|register|volatile|static)\b", "", one[1]).strip() for one in found if one]
    names = [one[2] for one in found if one]
    return Prototype(function, (kinds[0], kinds[1]), (names[0], names[1]))


def read_c(
    path: Path,
    function: str,
    *,
    allow_run: bool,
    signed: bool | None = None,
    widths: tuple[int, int] | None = None,
    names: Sequence[str | None] = (None, None),
    defines: Sequence[str] = (),
    includes: Sequence[Path] = (),
) -> Form:
    """Compile a C function and evaluate it in a child process; UserError unless ``allow_run``.

    ``names`` are the parameters for operands a and w, for functions that take them the other way round. ``widths`` are
    needed where the types do not tell them. Products are the low wa + ww bits of what the function returns. Includes
    are searched beside the file, then in ``includes``.
    """
    if not allow_run:
        raise UserError(f"{path.name} would be compiled and run with your rights; add --allow-run-c if you trust it")
    text = read_text(path)
    prototype = find_prototype(text, function, path.name)
    found = widths or prototype.widths
    if found is None:
        raise UserError(
            f"{function}({', '.join(prototype.types)}) does not tell the operands' widths; give --widths 12x12"
        )
    check_widths(found, path.name)
    if signed is None and prototype.is_signed and (prototype.widths is None or prototype.widths != found):
        raise UserError(f"{function}({', '.join(prototype.types)}): are the operands --signed or --unsigned?")
    folders = [path.parent.resolve(), *(folder.resolve() for folder in includes)]
    flags = (*(f"-I{folder}" for folder in folders), *(f"-D{define}" for define in defines))
    program = _Program(text, path, prototype, found, bool(signed), _swapped(prototype, names), flags)
    says_signed = True if prototype.is_signed and signed is None else None
    return Form(path.name, found, program.bits, signed=says_signed, name=function, notes=(program.order,))


def _swapped(prototype: Prototype, names: Sequence[str | None]) -> bool:
    """Whether the first parameter is operand w: by the given names, or by the letters a and b."""
    given = [name.lower() for name in names if name]
    parameters = [name.lower() for name in prototype.names]
    if len(given) == 2 and sorted(given) == sorted(parameters):
        return parameters != given
    return parameters == ["b", "a"]


@dataclass(frozen=True)
class _Program:
    text: str
    path: Path
    prototype: Prototype
    widths: tuple[int, int]
    signed: bool
    swapped: bool
    flags: tuple[str, ...]

    @property
    def order(self) -> str:
        """Which parameter is which operand, in words."""
        a, w = self.prototype.names[::-1] if self.swapped else self.prototype.names
        return f"operand a is {a}, operand w is {w} of {self.prototype.function}()"

    def bits(self, a: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Product bits of operand bits, int64 [n]: from the table of all pairs where there is one."""
        if sum(self.widths) <= ALL_PAIRS:
            return self._table[(a << self.widths[1]) | w]
        return self._run(np.stack([a, w], axis=1))

    @cached_property
    def _table(self) -> np.ndarray:
        return self._run(None)

    def _run(self, pairs: np.ndarray | None) -> np.ndarray:
        """Product bits of pairs [n, 2] of operand bits, or of all pairs, w counting faster."""
        width = sum(self.widths)
        with tempfile.TemporaryDirectory(prefix="slipstick-c-") as name:
            folder = Path(name)
            (folder / "cell.c").write_text(self.text)
            operands, order = (("w", "a"), (1, 0)) if self.swapped else (("a", "w"), (0, 1))
            (folder / "harness.c").write_text(_HARNESS.format(
                function=self.prototype.function, first_type=self.prototype.types[0],
                second_type=self.prototype.types[1], first=operands[0], second=operands[1],
                first_width=self.widths[order[0]], second_width=self.widths[order[1]], signed=int(self.signed),
                width_a=self.widths[0], width_w=self.widths[1],
            ))  # fmt: skip
            if pairs is not None:
                pairs.astype("<u8").tofile(folder / "pairs")
            self._compile(folder)
            self._execute(folder)
            products = np.fromfile(folder / "products", "<i8")
        if len(products) != (1 << width if pairs is None else len(pairs)):
            raise UserError(f"{self.path.name} ended before it had computed all products")
        above = products >> width
        valid = (above == 0) | ((above == -1) & ((products >> (width - 1)) & 1 == 1))
        if not valid.all():
            raise UserError(f"{self.path.name} returns {products[~valid][0]}, more than the product's {width} bits")
        return products & ((1 << width) - 1)

    def _compile(self, folder: Path) -> None:
        try:
            command = [find_compiler(), "-x", "c", "-O2", "-w", *self.flags, "harness.c", "-o", "harness"]
        except KernelError as error:
            raise UserError(str(error)) from error
        done = _child(command, folder, COMPILE_TIMEOUT_S)
        if done is None or done[0]:
            words = "it took too long" if done is None else done[1]
            errors = re.findall(r"(?:cell\.c:(\d+).*)?error: (.*)", words)
            line, reason = errors[0] if errors else ("", words.strip()[-200:].replace("\n", " "))
            raise UserError(f"the compiler refuses {self.path}{':' if line else ''}{line}: {reason}")

    def _execute(self, folder: Path) -> None:
        done = _child([str(folder / "harness")], folder, RUN_TIMEOUT_S, limited=True)
        if done is None:
            raise UserError(f"{self.path.name} did not compute all products within {RUN_TIMEOUT_S} s")
        if done[0]:
            raise UserError(f"{self.path.name} failed while it computed the products (exit code {done[0]})")


def _child(command: list[str], folder: Path, timeout_s: int, limited: bool = False) -> tuple[int, str] | None:
    """Exit code and complaints of a command run in a folder, without input; None when it takes too long."""
    with (folder / "complaints").open("w") as complaints:
        try:
            done = subprocess.run(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL if limited else complaints, timeout=timeout_s, check=False,
                preexec_fn=_limit if limited and os.name == "posix" else None,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return None
    return done.returncode, (folder / "complaints").read_text(errors="replace")


def _limit() -> None:
    """In the child, before the program starts: bound memory, files and time; no core dump."""
    import resource  # not on Windows, which has the time limit only

    for kind, limit in (
        (resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_CPU, RUN_TIMEOUT_S),
        (resource.RLIMIT_FSIZE, LARGEST_FILE), (resource.RLIMIT_CORE, 0),
    ):  # fmt: skip
        resource.setrlimit(kind, (limit, limit))
