"""Exact integer factors of a table: ``table[a, w] = sum_r left[a, r] * right[r, w]``.

Most approximate multipliers have a table of small rank over the rationals; then an approximate
matrix product *is* r ordinary ones on looked-up operands. The right factor is an LLL-reduced basis of
the lattice that the rows of the table span, so entries stay small and integers stay integers.
"""

from dataclasses import dataclass

import numpy as np
from flint import fmpz_mat, nmod_mat

from slipstick.errors import UserError
from slipstick.rtl.cells.cell import Cell
from slipstick.sources import code_digest
from slipstick.store import Store, digest

PRIME = 2147483629  # the rank modulo a prime this large never exceeds, and in practice equals, the rank
SAMPLE = 64  # random operands, beside the corners, from which the factors of a wide cell are found
CHECKS = 8  # products of every operand that its factors must give beyond those they come from
PAIRS = 1 << 20  # random operand pairs on which they are checked
LARGEST_RANK = 16  # beyond about this, adding looked-up rows is as fast as multiplying factors, on any path


@dataclass(frozen=True)
class Factors:
    """``left`` int64 [2^wa, r] and ``right`` int64 [r, 2^ww], indexed by operand bits.

    ``bound`` is the greatest ``sum_r |left * right|`` of any operand pair: K * bound bounds every
    partial sum of a K-deep dot product, in any order of summation.
    """

    left: np.ndarray
    right: np.ndarray
    bound: int

    @property
    def rank(self) -> int:
        """How many ordinary products stand for one approximate product."""
        return self.left.shape[1]


def rank(table: np.ndarray) -> int:
    """Rank of an integer table (modulo a 31-bit prime, a lower bound that is tight in practice)."""
    rows, columns = table.shape
    return nmod_mat(rows, columns, [int(x) % PRIME for x in table.ravel()], PRIME).rank()


def factorise(table: np.ndarray) -> Factors | None:
    """Exact factors of an integer table, or None when its rank is above LARGEST_RANK.

    The product of the factors is compared with the whole table before it is returned.
    """
    depth = rank(table)
    if depth > LARGEST_RANK:
        return None
    rows, columns = table.shape
    if depth == 0:
        return Factors(np.zeros((rows, 1), np.int64), np.zeros((1, columns), np.int64), 0)
    hermite = fmpz_mat(rows, columns, [int(x) for x in table.ravel()]).hnf()
    basis = fmpz_mat(depth, columns, [hermite[i, j] for i in range(depth) for j in range(columns)]).lll()
    right = np.array([[int(basis[i, j]) for j in range(columns)] for i in range(depth)], np.int64)
    solution = np.linalg.lstsq(right.T.astype(float), table.T.astype(float), rcond=None)[0]
    left = np.ascontiguousarray(np.rint(solution.T).astype(np.int64))
    if not np.array_equal(left @ right, table):
        return None
    return Factors(left, right, int((np.abs(left) @ np.abs(right)).max()))


def stored_factors(table: np.ndarray) -> Factors | None:
    """``factorise``, kept in the cache by the table's content and compared with the table again when read."""
    found = Store("factors").json(
        digest(table, LARGEST_RANK, code_digest(__name__)), lambda: _as_json(factorise(table))
    )
    if found is None:
        return None
    left, right = (np.array(found[name], np.int64) for name in ("left", "right"))
    if not np.array_equal(left @ right, table):
        return factorise(table)
    return Factors(left, right, found["bound"])


def _as_json(split: Factors | None) -> dict | None:
    return None if split is None else {"left": split.left.tolist(), "right": split.right.tolist(), "bound": split.bound}


def wide_factors(cell: Cell) -> Factors:
    """Exact factors of a cell too wide for a table: up to 16 bits an operand.

    The rows and columns of a sample of operands (corners, powers of two, random ones) span those of the
    whole table if its rank is small; every operand's factors follow from its products with the sample.
    They reproduce those products, CHECKS more of every operand, and PAIRS random ones exactly: were one pair in 50,000
    wrong, that would pass once in 10^9. Raises UserError for a rank above LARGEST_RANK.
    """
    rng = np.random.default_rng(0)
    a_all, w_all = (np.arange(1 << width) for width in cell.widths)
    a, w = (_sample(rng, width) for width in cell.widths)
    while True:
        split = factorise(cell.products(a[:, None], w[None]))
        if split is None:
            raise UserError(f"the products of cell {cell.name!r} have no exact factors of rank {LARGEST_RANK} or less")
        few = _spanning(split.right)
        left, missing = _solve(split.right[:, few].T, cell.products(a_all[:, None], w[None, few]).T)
        if not missing.size:
            break
        a = np.append(a, missing[:SAMPLE])  # the sample's rows span a coarser lattice, or too little
    few = _spanning(split.left.T)
    right, missing = _solve(split.left[few], cell.products(a[few, None], w_all[None]))
    some_a, some_w = (rng.integers(0, 1 << width, PAIRS) for width in cell.widths)
    products = (left.T[some_a] * right.T[some_w]).sum(1)
    if missing.size or not np.array_equal(products, cell.products(some_a, some_w)):
        raise UserError(f"the products of cell {cell.name!r} have no exact factors of small rank")
    return Factors(np.ascontiguousarray(left.T), right, int((np.abs(left).max(1) * np.abs(right).max(1)).sum()))


def _sample(rng: np.random.Generator, width: int) -> np.ndarray:
    powers = 1 << np.arange(width)
    return np.unique(
        np.concatenate([powers, powers - 1, powers[-1:] - 1 + powers, rng.integers(0, 1 << width, SAMPLE)])
    )


def _spanning(vectors: np.ndarray) -> np.ndarray:
    """Columns of [r, s] that span them all, the longest remainder first, and CHECKS more."""
    rest, chosen = vectors.astype(float), []
    for _ in range(len(vectors)):
        chosen.append(int((rest**2).sum(0).argmax()))
        direction = rest[:, chosen[-1]] / np.linalg.norm(rest[:, chosen[-1]])
        rest = rest - np.outer(direction, direction @ rest)
    others = [column for column in range(vectors.shape[1]) if column not in chosen]
    return np.array(chosen + others[:CHECKS])


def _solve(known: np.ndarray, products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Integer ``x`` [r, n] with ``known`` [s, r] @ x == ``products`` [s, n], and the columns that have none."""
    x = np.rint(np.linalg.lstsq(known.astype(float), products.astype(float), rcond=None)[0]).astype(np.int64)
    return x, np.flatnonzero((known @ x != products).any(0))
