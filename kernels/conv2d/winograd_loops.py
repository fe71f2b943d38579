"""The compiled loops of `winograd.py`.  Importing this file imports numba (0.5 s).

Inside, channels are the innermost axis: a vector register holds one pixel of `lanes` channels, and a transform is its
scalar formula on vectors.  Images are transposed on the way in and out, lanes x lanes numbers at a time.  numba has no
vector type, so `interpolate`, `evaluate` and `combine` are Python that emits LLVM instructions (they take numpy arrays
as well).  Addresses are not checked there: each lies in a whole tile of a buffer allocated here.

The points are 0, ±NEAR, ±FAR and ∞.  Lavin and Gray use 0, ±1, ±2 and ∞; with points near c and 1/c, c about 0.6, the
error is a third of theirs (Alam et al., "Winograd Convolution for Deep Neural Networks: Efficient Point Selection",
arXiv 2201.10369; `python -m tinygen.benchmarks.studies.winograd_error`).  Our points and their squares are exact in
binary.
"""

import numpy as np

from tinygen.kernels.matmul.tile_loops import VECTOR_BYTES, add_product
from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import intrinsic, ir, prange, types

TILE = 4  # rows and columns of outputs in a tile
PRODUCTS = (TILE + 2) ** 2  # per tile and channel
NEAR, FAR = 5 / 8, 3 / 2


def interpolate(d, p=NEAR, q=FAR):
    """Bᵀ d, six values from six: for a point t the coefficients of x (x² - p²)(x² - q²) / (x - t), times d; for ∞ that
    product without the division."""
    d0, d1, d2, d3, d4, d5 = d
    a, b = p * p, q * q
    near, near_odd = d4 - b * d2, p * (d3 - b * d1)
    far, far_odd = d4 - a * d2, q * (d3 - a * d1)
    return [
        d4 - (a + b) * d2 + a * b * d0,
        near + near_odd,
        near - near_odd,
        far + far_odd,
        far - far_odd,
        d5 - (a + b) * d3 + a * b * d1,
    ]


def evaluate(g, p=NEAR, q=FAR):
    """G g, six values from three or four: Σ gᵢ tⁱ at every point t, over the product of t's distances to the others."""
    a, b = p * p, q * q
    near, near_odd, far, far_odd = g[0] + a * g[2], p * g[1], g[0] + b * g[2], q * g[1]
    if len(g) == 4:
        near_odd, far_odd = near_odd + a * p * g[3], far_odd + b * q * g[3]
    near_scale, far_scale = 1 / (2 * a * (a - b)), 1 / (2 * b * (b - a))
    return [
        1 / (a * b) * g[0],
        near_scale * (near + near_odd),
        near_scale * (near - near_odd),
        far_scale * (far + far_odd),
        far_scale * (far - far_odd),
        g[-1],
    ]


def combine(m, count, p=NEAR, q=FAR):
    """Aᵀ m, four or three values from six: value i is Σ tⁱ m over the points t; the last one includes the point ∞."""
    near, near_odd, far, far_odd = m[1] + m[2], m[1] - m[2], m[3] + m[4], m[3] - m[4]
    values = [m[0] + near + far, p * near_odd + q * far_odd, p**2 * near + q**2 * far]
    if count == 4:
        values.append(p**3 * near_odd + q**3 * far_odd)
    return [*values[:-1], values[-1] + m[5]]


class _Vector:
    """A vector register, with the arithmetic that the transforms use."""

    def __init__(self, builder, value):
        self.builder, self.value = builder, value

    def __add__(self, other):
        return _Vector(self.builder, self.builder.fadd(self.value, other.value, flags=["contract"]))

    def __sub__(self, other):
        return _Vector(self.builder, self.builder.fsub(self.value, other.value, flags=["contract"]))

    def __rmul__(self, number):
        constant = ir.Constant(self.value.type, [float(number)] * self.value.type.count)
        return _Vector(self.builder, self.builder.fmul(constant, self.value, flags=["contract"]))


class _Memory:
    """A flat array argument: its vectors, addressed by the index of their first element."""

    def __init__(self, context, builder, array_type, array):
        self.builder, self.size = builder, array_type.dtype.bitwidth // 8
        self.data = context.make_array(array_type)(context, builder, array).data
        self.type = ir.VectorType(self.data.type.pointee, VECTOR_BYTES // self.size)

    def _place(self, index):
        return self.builder.bitcast(self.builder.gep(self.data, [index]), self.type.as_pointer())

    def load(self, index):
        return self.builder.load(self._place(index), align=self.size)

    def store(self, value, index):
        self.builder.store(value, self._place(index), align=self.size)


def _square(transform, size):
    """A function that takes size x size vectors of x, from x_at in steps of x_row and x_column, applies `transform` to
    every column, then to every row, and writes the result to y."""

    @intrinsic
    def apply(typing, x, x_at, x_row, x_column, y, y_at, y_row, y_column):
        n = types.intp

        def generate(context, builder, signature, args):
            def index(at, row_step, column_step, row, column):
                for count, step in ((row, row_step), (column, column_step)):
                    at = builder.add(at, builder.mul(ir.Constant(at.type, count), step))
                return at

            x, y = (_Memory(context, builder, signature.args[i], args[i]) for i in (0, 4))
            columns = []
            for j in range(size):
                pixels = [x.load(index(*args[1:4], i, j)) for i in range(size)]
                columns.append(transform([_Vector(builder, pixel) for pixel in pixels]))
            for i, row in enumerate(zip(*columns)):
                for j, vector in enumerate(transform(row)):
                    y.store(vector.value, index(*args[5:8], i, j))
            return context.get_dummy_value()

        return types.void(x, n, n, n, y, n, n, n), generate

    return apply


_interpolate = _square(interpolate, TILE + 2)
_evaluate_filter = _square(evaluate, 3)
_evaluate_tile = _square(evaluate, TILE)
_combine_tile = _square(lambda m: combine(m, TILE), TILE + 2)
_combine_filter = _square(lambda m: combine(m, 3), TILE + 2)


def _transposed(builder, rows):
    """The rows of a square -> its columns: in squares of 16, 8, 4, 2 the two off-diagonal quarters are swapped."""
    lanes, rows = len(rows), list(rows)
    half = lanes // 2
    while half:
        left = [l - half + lanes if l & half else l for l in range(lanes)]
        right = [l + lanes if l & half else l + half for l in range(lanes)]
        for i in range(lanes):
            if not i & half:
                a, b = rows[i], rows[i + half]
                for target, places in ((i, left), (i + half, right)):
                    mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), places)
                    rows[target] = builder.shuffle_vector(a, b, mask)
        half //= 2
    return rows


@intrinsic
def _turn(typing, x, x_at, x_places, y, y_at, y_places):
    """Vector i of a square starts at x[x_at + x_places[i]]; element i of all of them goes to y[y_at + y_places[i]]."""
    n = types.intp

    def generate(context, builder, signature, args):
        def index(i, at, places, places_type):
            data = context.make_array(places_type)(context, builder, places).data
            return builder.add(at, builder.load(builder.gep(data, [ir.Constant(at.type, i)])))

        x, y = (_Memory(context, builder, signature.args[i], args[i]) for i in (0, 3))
        lanes = range(x.type.count)
        rows = [x.load(index(i, args[1], args[2], signature.args[2])) for i in lanes]
        for i, column in enumerate(_transposed(builder, rows)):
            y.store(column, index(i, args[4], args[5], signature.args[5]))
        return context.get_dummy_value()

    return types.void(x, n, x_places, y, n, y_places), generate


@njit(cache=True, nogil=True)
def pixel_places(size, corner, room, lanes):
    """The places of an image's pixels (H, W) in `room`, shifted by corner; pixels outside go one place past its end."""
    places = np.empty(size[0] * size[1], np.intp)
    for h in range(size[0]):
        for w in range(size[1]):
            row, column = h + corner[0], w + corner[1]
            inside = 0 <= row < room[0] and 0 <= column < room[1]
            places[h * size[1] + w] = (row * room[1] + column if inside else room[0] * room[1]) * lanes
    return places


@njit(cache=True, nogil=True)
def take(x, start, places, image, lanes):
    """The `lanes` channels of x from `start` on -> image, with all channels of pixel p at places[p]."""
    area = places.size
    channels = np.arange(lanes) * area
    for p in range(0, area, lanes):
        p = min(p, area - lanes)  # the last square may overlap the previous one
        _turn(x, start + p, channels, image, 0, places[p:])


@njit(cache=True, nogil=True)
def put(image, places, y, start, lanes):
    """The inverse of `take`."""
    area = places.size
    channels = np.arange(lanes) * area
    for p in range(0, area, lanes):
        p = min(p, area - lanes)
        _turn(image, 0, places[p:], y, start + p, channels)


@njit(cache=True, nogil=True)
def transform_pixels(image, tiles, lanes, v, at, next_tile, step):
    """Bᵀ d B of every tile's 6x6 pixels d of image; value s of a tile goes to v[at + tile·next_tile + s·step]."""
    width = (TILE * tiles[1] + 2) * lanes
    for i in range(tiles[0]):
        for j in range(tiles[1]):
            _interpolate(image, TILE * (i * width + j * lanes), width, lanes, v, at, 6 * step, step)
            at += next_tile


@njit(cache=True, nogil=True)
def transform_gradient(image, tiles, lanes, g, at, next_tile, step):
    """G g Gᵀ of every tile's 4x4 pixels of an output gradient, stored as above."""
    width = TILE * tiles[1] * lanes
    for i in range(tiles[0]):
        for j in range(tiles[1]):
            _evaluate_tile(image, TILE * (i * width + j * lanes), width, lanes, g, at, 6 * step, step)
            at += next_tile


@njit(cache=True, nogil=True)
def transform_products(m, at, next_tile, step, tiles, lanes, image):
    """Aᵀ m A of every tile's 36 products m: its 4x4 outputs, written to image."""
    width = TILE * tiles[1] * lanes
    for i in range(tiles[0]):
        for j in range(tiles[1]):
            _combine_tile(m, at, 6 * step, step, image, TILE * (i * width + j * lanes), width, lanes)
            at += next_tile


@njit(cache=True, parallel=True)
def transform_filters(w, columns, u):
    """G w Gᵀ.  w (K, C, 3, 3) -> u (K / columns, 36, C, columns): each product reads contiguous memory."""
    K, C = w.shape[:2]
    groups, _, size = u.shape
    flat_w, lanes = w.reshape(-1), columns // 2
    places = np.empty(C * 9, np.intp)
    for c in range(C):
        for tap in range(9):
            places[c * 9 + tap] = (tap * C + c) * lanes
    for group in prange(groups):
        taps, flat_u = np.empty(9 * C * lanes, w.dtype), u[group].reshape(-1)
        first = group * columns
        for k in range(first, min(K, first + columns), lanes):
            take(flat_w, k * C * 9, places, taps, lanes)
            for c in range(C):
                at = c * columns + k - first
                _evaluate_filter(taps, c * lanes, 3 * C * lanes, C * lanes, flat_u, at, 6 * size, size)


@njit(cache=True, parallel=True)
def correlate(x, u, corner, tiles, block, chunks, y):
    """y from x (N, C, H, W) and the transformed filters u, `block` images at a time, all steps in cache."""
    (N, C, H, W), (_, K, P, Q) = x.shape, y.shape
    lanes = VECTOR_BYTES // x.itemsize
    columns = 2 * lanes  # in a product
    count = tiles[0] * tiles[1]
    flat_x, flat_u, flat_y = x.reshape(-1), u.reshape(-1), y.reshape(-1)
    room = (TILE * tiles[0] + 2, TILE * tiles[1] + 2)
    places_in = pixel_places((H, W), corner, room, lanes)
    places_out = pixel_places((P, Q), (0, 0), (TILE * tiles[0], TILE * tiles[1]), lanes)
    for chunk in prange(chunks):
        image = np.zeros((room[0] * room[1] + 1) * lanes, x.dtype)
        outputs = np.empty(TILE * TILE * count * lanes, x.dtype)
        v_step, m_step = (
            block * count * C + lanes,
            block * count * columns + lanes,
        )  # + lanes: not all in the same cache set
        v, m = np.empty(PRODUCTS * v_step, x.dtype), np.empty(PRODUCTS * m_step, x.dtype)
        end = N * (chunk + 1) // chunks
        for begin in range(N * chunk // chunks, end, block):
            images = range(begin, min(begin + block, end))
            for c in range(0, C, lanes):
                for i, n in enumerate(images):
                    take(flat_x, (n * C + c) * H * W, places_in, image, lanes)
                    transform_pixels(image, tiles, lanes, v, i * count * C + c, C, v_step)
            for first in range(0, K, columns):
                m[:] = 0
                for s in range(PRODUCTS):
                    u_at = (first // columns * PRODUCTS + s) * C * columns
                    add_product(
                        m, s * m_step, columns, v, s * v_step, C, 1, flat_u, u_at, columns,
                        len(images) * count, columns, C,
                    )  # fmt: skip
                for k in range(first, min(K, first + columns), lanes):
                    for i, n in enumerate(images):
                        at = i * count * columns + k - first
                        transform_products(m, at, columns, m_step, tiles, lanes, outputs)
                        put(outputs, places_out, flat_y, (n * K + k) * P * Q, lanes)


@njit(cache=True, parallel=True)
def correlate_with_gradient(x, gy, corner, tiles, block, chunks, gw):
    """gw[chunk] (3, 3, C, K) from the images of that chunk: 36 products with the tile as inner axis, then Aᵀ m A."""
    (N, C, H, W), (_, K, P, Q) = x.shape, gy.shape
    lanes = VECTOR_BYTES // x.itemsize
    width = (K + 2 * lanes - 1) // (2 * lanes) * 2 * lanes  # K in whole tiles of a product
    count = tiles[0] * tiles[1]
    flat_x, flat_g = x.reshape(-1), gy.reshape(-1)
    room = (TILE * tiles[0] + 2, TILE * tiles[1] + 2)
    places_in = pixel_places((H, W), corner, room, lanes)
    places_out = pixel_places((P, Q), (0, 0), (TILE * tiles[0], TILE * tiles[1]), lanes)
    for chunk in prange(chunks):
        image = np.zeros((room[0] * room[1] + 1) * lanes, x.dtype)
        gradient = np.zeros(TILE * TILE * count * lanes, x.dtype)
        v_step, g_step, m_step = block * count * C + lanes, block * count * width + lanes, C * width
        v, g = np.empty(PRODUCTS * v_step, x.dtype), np.zeros(PRODUCTS * g_step, x.dtype)
        m = np.zeros(PRODUCTS * m_step, x.dtype)
        end = N * (chunk + 1) // chunks
        for begin in range(N * chunk // chunks, end, block):
            images = range(begin, min(begin + block, end))
            for c in range(0, C, lanes):
                for i, n in enumerate(images):
                    take(flat_x, (n * C + c) * H * W, places_in, image, lanes)
                    transform_pixels(image, tiles, lanes, v, i * count * C + c, C, v_step)
            for k in range(0, K, lanes):
                for i, n in enumerate(images):
                    take(flat_g, (n * K + k) * P * Q, places_out, gradient, lanes)
                    transform_gradient(gradient, tiles, lanes, g, i * count * width + k, width, g_step)
            for s in range(PRODUCTS):
                add_product(
                    m, s * m_step, width, v, s * v_step, 1, C, g, s * g_step, width,
                    C, width, len(images) * count,
                )  # fmt: skip
        sums = gw[chunk].reshape(-1)
        for c in range(C):
            for k in range(0, K, lanes):
                _combine_filter(m, c * width + k, 6 * m_step, m_step, sums, c * K + k, 3 * C * K, C * K)
