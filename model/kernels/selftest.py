"""The compiled kernels against the plain loop: every path, edges of every tile, one and two threads."""

import ctypes
import itertools

import numpy as np

from slipstick.rtl.spec.fixed import MULTIPLIER_BITS, requantise

SHAPES = ((1, 1, 1), (7, 5, 3), (13, 17, 33), (40, 70, 65), (25, 530, 18))  # M, K, N
SUMS = ((1, 1, 1), (6, 64, 16), (37, 65, 7), (70, 300, 128), (300, 130, 150))  # bits, tokens, outputs
BATCH = 3


def plain_loop(codes: np.ndarray, weights: np.ndarray, table: np.ndarray) -> np.ndarray:
    """``sum_k table[a[m, k], w[k, n]]`` in int64: codes [..., M, K] and weights [..., K, N] as bits."""
    total = np.zeros((*codes.shape[:-1], weights.shape[-1]), np.int64)
    for k in range(codes.shape[-1]):
        total += table[codes[..., :, k, None], weights[..., k, None, :]]
    return total


def aligned(shape: tuple[int, ...], kind: type) -> np.ndarray:
    """Uninitialised memory that starts on a cache line."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    raw = np.empty(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(kind).reshape(shape)


def check(library: ctypes.CDLL) -> None:
    """Raise AssertionError, naming the path, unless every kernel equals the plain loop."""
    rng = np.random.default_rng(0)
    _check_elementwise(library, rng)
    for arity, tokens, threads in itertools.product(range(1, 7), (1, 37, 1500), (1, 2)):
        _check_look_up(library, rng, arity, tokens, threads)
    for tokens in (1, 37, 1500):
        _check_thermometer(library, rng, tokens)
    for count, tokens, width in SUMS:
        for threads in (1, 2):
            _check_conditional_sum(library, rng, count, tokens, width, threads)
    for m, k, n in SHAPES:
        codes = rng.integers(0, 256, (BATCH, m, k)).astype(np.uint8)
        weights = rng.integers(0, 256, (BATCH, k, n)).astype(np.uint8)
        for shared in (True, False):
            stationary = weights[:1] if shared else weights
            for threads in (1, 2):
                for rank in (1, 2, 3, 4):
                    _check_factor(library, rng, codes, stationary, rank, threads)
                for span in (65535, 32767, 16383, 500):
                    _check_table(library, rng, codes, stationary, span, threads)


def _check_factor(
    library: ctypes.CDLL, rng: np.random.Generator, codes: np.ndarray, weights: np.ndarray, rank: int, threads: int
) -> None:
    (batch, m, k), n = codes.shape, weights.shape[2]
    left, right = (rng.integers(-32768, 32768, (256, rank)).astype(np.int16) for _ in range(2))
    words = library.slipstick_packed_words(k, n, rank)
    packed, out = aligned((len(weights), words), np.int32), np.empty((batch, m, n), np.int32)
    library.slipstick_factor_pack(
        weights.ctypes.data, right.ctypes.data, packed.ctypes.data, len(weights), k, n, rank, threads
    )
    library.slipstick_factor_gemm(
        codes.ctypes.data, left.ctypes.data, packed.ctypes.data, out.ctypes.data,
        batch, m, k, n, rank, int(len(weights) == 1), threads,
    )  # fmt: skip
    wanted = plain_loop(codes, weights, left.astype(np.int64) @ right.T.astype(np.int64))
    assert np.array_equal(out, wanted.astype(np.int32)), f"factor kernel, rank {rank}, {codes.shape} x {weights.shape}"


def _check_table(
    library: ctypes.CDLL, rng: np.random.Generator, codes: np.ndarray, weights: np.ndarray, span: int, threads: int
) -> None:
    (batch, m, k), n = codes.shape, weights.shape[2]
    rows = 256 if span > 500 else 40
    index = rng.integers(0, rows, 256).astype(np.uint8)
    entries = rng.integers(0, span + 1, (256, rows)).astype(np.uint16)
    group = max(g for g in (1, 2, 4, 8) if g * span < 65536)
    out, bias = np.empty((batch, m, n), np.int32), 77
    library.slipstick_table_gemm(
        codes.ctypes.data, weights.ctypes.data, entries.ctypes.data, index.ctypes.data, rows, bias, group,
        out.ctypes.data, batch, m, k, n, int(len(weights) == 1), threads,
    )  # fmt: skip
    wanted = plain_loop(codes, weights, entries.astype(np.int64)[:, index].T - bias)
    assert np.array_equal(out, wanted), f"table kernel, span {span}, {codes.shape} x {weights.shape}"


def _check_elementwise(library: ctypes.CDLL, rng: np.random.Generator) -> None:
    rows, channels, low, high, zero = 5, 300, -120, 117, 3
    unit, threads = np.float32(0.037), 2
    halves = (np.arange(-400, 400) / 2).astype(np.float32) * unit  # ties, or next to one
    values = np.concatenate([halves, rng.normal(0, 3, 700).astype(np.float32)])
    codes = np.empty(values.shape, np.int8)
    finite = library.slipstick_quantise(values.ctypes.data, unit, low, high, codes.ctypes.data, len(values), threads)
    assert finite and np.array_equal(codes, np.clip(np.rint(values / unit), low, high)), "quantise"

    for odd in (np.nan, np.inf, -np.inf):
        odds = values.copy()
        odds[rng.integers(len(odds))] = odd
        finite = library.slipstick_quantise(odds.ctypes.data, unit, low, high, codes.ctypes.data, len(odds), threads)
        assert not finite, f"quantise of {odd}"

    sums = rng.integers(-(1 << 31), 1 << 31, (rows, channels)).astype(np.int32)
    multiplier = rng.integers(0, 1 << MULTIPLIER_BITS, channels)
    shift = rng.integers(1, 64, channels)
    factor = np.ldexp(multiplier.astype(float), -shift)
    outputs = np.empty(sums.shape, np.int8)
    library.slipstick_requantise(
        sums.ctypes.data, factor.ctypes.data, zero, low, high, outputs.ctypes.data, rows, channels, threads
    )
    wanted = requantise(sums.astype(np.int64), multiplier, shift, zero, low, high, np.where)
    assert np.array_equal(outputs, wanted), "requantise"

    bias, by_channel = rng.integers(-(1 << 30), 1 << 30, channels).astype(np.int32), rng.random(channels, np.float32)
    small, scaled = sums // 4, np.empty(sums.shape, np.float32)
    library.slipstick_scale(
        small.ctypes.data, bias.ctypes.data, by_channel.ctypes.data, scaled.ctypes.data, rows, channels, threads
    )
    assert np.array_equal(scaled, (small + bias).astype(np.float32) * by_channel), "scale"


def _check_look_up(library: ctypes.CDLL, rng: np.random.Generator, arity: int, tokens: int, threads: int) -> None:
    count, bits, size, flip = 90, 300, 1 << arity, 0.25
    codes = rng.integers(0, 2, (bits, tokens)).astype(np.uint8)
    index = rng.integers(0, bits, count * arity)
    tables = rng.integers(-8, 9, (count, size)).astype(np.float32) / 8  # all sums of these are exact
    gradient = rng.integers(-8, 9, (count, tokens)).astype(np.float32)
    address, fired = (np.empty((count, tokens), np.uint8) for _ in range(2))
    library.slipstick_look_up(
        codes.ctypes.data, index.ctypes.data, tables.ctypes.data, arity, count, tokens, address.ctypes.data,
        fired.ctypes.data, threads,
    )  # fmt: skip
    inputs = codes[index].reshape(count, arity, tokens)
    place = (inputs << np.arange(arity, dtype=np.uint8)[:, None]).sum(1)
    assert np.array_equal(address, place), f"addresses of LUT-{arity}, {tokens} tokens"
    assert np.array_equal(fired, np.take_along_axis(tables, place, 1) > 0), f"LUT-{arity}, {tokens} tokens"

    to_tables, to_bits = np.empty_like(tables), np.empty((bits, tokens), np.float32)
    library.slipstick_look_up_gradients(
        address.ctypes.data, index.ctypes.data, tables.ctypes.data, gradient.ctypes.data, flip, arity, count, bits,
        tokens, to_tables.ctypes.data, to_bits.ctypes.data, threads,
    )  # fmt: skip
    own, others = np.array([[-0.5, 0.5], [-0.5, 0.5]]), np.array([[1 - flip, flip], [flip, 1 - flip]])
    wanted_tables, wanted_bits = np.zeros(tables.shape), np.zeros(to_bits.shape)
    np.add.at(wanted_tables, (np.arange(count)[:, None], place), gradient)
    for wanted in range(arity):
        matrix = np.eye(1)
        for bit in reversed(range(arity)):
            matrix = np.kron(matrix, own if bit == wanted else others)
        np.add.at(wanted_bits, index[wanted::arity], gradient * np.take_along_axis(tables @ matrix.T, place, 1))
    assert np.array_equal(to_tables, wanted_tables), f"gradient of entries of LUT-{arity}, {tokens} tokens"
    assert np.array_equal(to_bits, wanted_bits), f"gradient of inputs of LUT-{arity}, {tokens} tokens"


def _check_thermometer(library: ctypes.CDLL, rng: np.random.Generator, tokens: int) -> None:
    features, thresholds, threads = 70, 3, 2
    codes = rng.integers(-128, 128, (features, tokens)).astype(np.int16)
    limits = rng.integers(-128, 128, (features, thresholds)).astype(np.int16)
    bits = np.empty((features, thresholds, tokens), np.uint8)
    library.slipstick_compare(
        codes.ctypes.data, limits.ctypes.data, bits.ctypes.data, features, thresholds, tokens, threads
    )
    assert np.array_equal(bits, codes[:, None] > limits[:, :, None]), f"thermometer, {tokens} tokens"

    gradient = rng.integers(-8, 9, bits.shape).astype(np.float32)
    low, high, factor = limits - np.int16(20), limits + np.int16(30), np.full(features, 0.25, np.float32)
    to_codes, to_thresholds = np.empty(codes.shape, np.float32), np.empty(limits.shape, np.float32)
    library.slipstick_window(
        codes.ctypes.data, gradient.ctypes.data, low.ctypes.data, high.ctypes.data, factor.ctypes.data,
        to_codes.ctypes.data, to_thresholds.ctypes.data, features, thresholds, tokens, threads,
    )  # fmt: skip
    near = 0.25 * gradient * ((codes[:, None] > low[:, :, None]) & (codes[:, None] < high[:, :, None]))
    assert np.array_equal(to_codes, near.sum(1)), f"gradient of a thermometer's codes, {tokens} tokens"
    assert np.array_equal(to_thresholds, -near.sum(2)), f"gradient of thresholds, {tokens} tokens"


def _check_conditional_sum(
    library: ctypes.CDLL, rng: np.random.Generator, count: int, tokens: int, width: int, threads: int
) -> None:
    name = f"conditional sum of {count} bits, {tokens} tokens, {width} outputs"
    bits = rng.integers(0, 2, (count, tokens)).astype(np.uint8)
    codes = rng.integers(-32768, 32768, (count, width)).astype(np.int32)
    sums = np.empty((tokens, width), np.int32)
    sizes = (count, tokens, width)
    library.slipstick_conditional_sum(bits.ctypes.data, codes.ctypes.data, *sizes, sums.ctypes.data, threads)
    assert np.array_equal(sums, bits.T.astype(np.int64) @ codes), name

    gradient = rng.integers(-8, 9, (tokens, width)).astype(np.float32)  # all sums are exact
    values = rng.integers(-128, 129, codes.shape).astype(np.float32) / 8
    to_bits, to_codes = np.empty(bits.shape, np.float32), np.empty(codes.shape, np.float32)
    library.slipstick_conditional_gradients(
        bits.ctypes.data, values.ctypes.data, gradient.ctypes.data, *sizes, to_bits.ctypes.data, to_codes.ctypes.data,
        threads,
    )  # fmt: skip
    assert np.array_equal(to_bits, values.astype(float) @ gradient.T), f"{name}: gradient of bits"
    assert np.array_equal(to_codes, bits.astype(float) @ gradient), f"{name}: gradient of codes"
