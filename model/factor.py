"""Exact integer factors of a table: ``table[a, w] = sum_r left[a, r] * right[r, w]``.

Most approximate multipliers have a table of small rank over the rationals; then an approximate
matrix product *is* r ordinary ones on looked-up operands. The right factor is an LLL-reduced basis of
the lattice that the rows of the table span, so entries stay small and integers stay integers.
"""

from dataclasses import dataclass

import numpy as np
from flint import fmpz_mat, nmod_mat

from slipstick.store import Store, digest

PRIME = 2147483629  # the rank modulo a prime this large never exceeds, and in practice equals, the rank
VERSION = 1  # of what the cache holds
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
    found = Store("factors").json(digest(table, LARGEST_RANK, VERSION), lambda: _as_json(factorise(table)))
    if found is None:
        return None
    left, right = (np.array(found[name], np.int64) for name in ("left", "right"))
    if not np.array_equal(left @ right, table):
        return factorise(table)
    return Factors(left, right, found["bound"])


def _as_json(split: Factors | None) -> dict | None:
    return None if split is None else {"left": split.left.tolist(), "right": split.right.tolist(), "bound": split.bound}
