"""Products of blocks inside compiled loops: a tile of c held in registers.  Importing this file imports numba (0.5 s).

LLVM's vectorizer keeps the sums of a product in memory, and loads and stores them in each step.  `_tile` therefore
writes the loop with LLVM vectors: ROWS x 2 of them are summed in registers, so that a step costs 2 vector loads and
ROWS broadcasts for 2 ROWS multiply-adds.  The sums start at 0 and are added to c at the end: over many blocks, c
collects one rounding error per block, not per term.
"""

from tinygen.kernels.matmul import register_loops
from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import cgutils, intrinsic, ir, types

VECTOR_BYTES = max(32, register_loops.BYTES)  # narrower registers hold a vector in pairs
ROWS = 8 if VECTOR_BYTES == 64 else 6  # with 2 vectors a row 16 or 12 sums, of 32 or 16 registers
TILE_BYTES = 2 * VECTOR_BYTES  # of the columns of a tile


def _tile(rows: int):
    """A tile with `rows` rows: c[c0 + r c_row + j] += Σ_k a[a0 + r a_row + k a_k] b[b0 + k b_row + j], j < one tile."""

    @intrinsic
    def tile(typing, c, c0, c_row, a, a0, a_row, a_k, b, b0, b_row, depth):
        def codegen(context, builder, signature, args):
            data = [context.make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 3, 7)]
            _write_tile(context, builder, rows, *data, *(args[i] for i in (1, 2, 4, 5, 6, 8, 9, 10)))
            return context.get_dummy_value()

        n = types.intp
        return types.void(c, n, n, a, n, n, n, b, n, n, n), codegen

    return tile


def _write_tile(context, builder, rows, c, a, b, c0, c_row, a0, a_row, a_k, b0, b_row, depth) -> None:
    scalar = a.type.pointee
    size = context.get_abi_sizeof(scalar)
    lanes = VECTOR_BYTES // size
    vector, nothing = ir.VectorType(scalar, lanes), ir.Constant(ir.VectorType(scalar, lanes), ir.Undefined)
    first = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)

    def offset(start, index, stride):
        index = index if isinstance(index, ir.Value) else ir.Constant(c0.type, index)
        return builder.add(start, builder.mul(index, stride))

    def vector_at(array, start, v):
        place = builder.gep(array, [builder.add(start, ir.Constant(c0.type, v * lanes))])
        return builder.bitcast(place, vector.as_pointer())

    sums = {}
    for r in range(rows):
        for v in range(2):
            sums[r, v] = cgutils.alloca_once(builder, vector)
            builder.store(ir.Constant(vector, None), sums[r, v])  # zeros
    with cgutils.for_range(builder, depth) as loop:
        row_of_b, column_of_a = offset(b0, loop.index, b_row), offset(a0, loop.index, a_k)
        right = [builder.load(vector_at(b, row_of_b, v), align=size) for v in range(2)]
        for r in range(rows):
            left = builder.load(builder.gep(a, [offset(column_of_a, r, a_row)]), align=size)
            left = builder.insert_element(nothing, left, ir.Constant(ir.IntType(32), 0))
            left = builder.shuffle_vector(left, nothing, first)
            for v in range(2):
                product = builder.fmul(left, right[v], flags=["contract"])
                total = builder.fadd(builder.load(sums[r, v]), product, flags=["contract"])
                builder.store(total, sums[r, v])
    for (r, v), total in sums.items():
        place = vector_at(c, offset(c0, r, c_row), v)
        builder.store(builder.fadd(builder.load(place, align=size), builder.load(total)), place, align=size)


_full, _half, _single = _tile(ROWS), _tile(ROWS // 2), _tile(1)


@njit(cache=True, nogil=True, error_model="numpy")
def add_product(c, c0, c_row, a, a0, a_row, a_k, b, b0, b_row, rows, columns, depth):
    """c += a b for blocks of arrays: c (rows, columns) starts at element c0, with rows c_row apart; a (rows, depth) has
    the strides a_row, a_k; b (depth, columns).  c and b are flat; columns is a multiple of a tile's."""
    if rows <= 0 or depth <= 0:
        return
    if c0 + (rows - 1) * c_row + columns > c.size or b0 + (depth - 1) * b_row + columns > b.size:
        raise IndexError("add_product: a block ends behind its array")
    for j in range(0, columns, TILE_BYTES // c.itemsize):
        r = 0
        while r + ROWS <= rows:
            _full(c, c0 + r * c_row + j, c_row, a, a0 + r * a_row, a_row, a_k, b, b0 + j, b_row, depth)
            r += ROWS
        if r + ROWS // 2 <= rows:
            _half(c, c0 + r * c_row + j, c_row, a, a0 + r * a_row, a_row, a_k, b, b0 + j, b_row, depth)
            r += ROWS // 2
        while r < rows:
            _single(c, c0 + r * c_row + j, c_row, a, a0 + r * a_row, a_row, a_k, b, b0 + j, b_row, depth)
            r += 1
