"""The two innermost steps of `taps_loops.py`, written as LLVM instructions, one vector operation per line.

Numba has no way to keep a tile of vectors in registers, and LLVM does not do so for a loop written with indices.
Addresses are not checked here: `taps_loops.py` allocates its buffers with the margin that these steps need.
"""

from tinygen.kernels.matmul import register_loops
from tinygen.kernels.runtime.with_numba import cgutils, intrinsic, ir, types

BYTES = register_loops.BYTES  # in a vector register
PIXELS = 6
VECTORS = 4 if register_loops.COUNT == 32 else 2  # 6·4 sums need 32 registers, 6·2 need 16

_int = ir.IntType(64)


class _Emit:
    """The few vector instructions that both steps are made of, for one element type."""

    def __init__(self, context, builder, dtype):
        self.b, self.lanes = builder, BYTES * 8 // dtype.bitwidth
        self.element = context.get_value_type(dtype)
        self.size = dtype.bitwidth // 8
        self.vector = ir.VectorType(self.element, self.lanes)
        self.zero = ir.Constant(self.vector, [0.0] * self.lanes)
        self.undefined = ir.Constant(self.vector, ir.Undefined)
        name = f"llvm.fmuladd.v{self.lanes}f{dtype.bitwidth}"
        self.fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(self.vector, [self.vector] * 3), name
        )

    def at(self, pointer, index):
        return self.b.gep(pointer, [_int(index) if isinstance(index, int) else index])

    def load(self, pointer):
        return self.b.load(self.b.bitcast(pointer, self.vector.as_pointer()), align=self.size)

    def store(self, value, pointer):
        self.b.store(value, self.b.bitcast(pointer, self.vector.as_pointer()), align=self.size)

    def shuffle(self, a, b, lanes):
        """The given lanes of a followed by b"""
        return self.b.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes))

    def spread(self, scalar):
        """scalar in every lane"""
        lane0 = self.b.insert_element(self.undefined, scalar, ir.IntType(32)(0))
        return self.shuffle(lane0, self.undefined, [0] * self.lanes)

    def sum_loop(self, length, sums, body):
        """sums = body(i, sums) for i = 0 … length - 1 (at least once), with vectors that stay in registers."""
        b, before = self.b, self.b.block
        loop, done = b.append_basic_block("loop"), b.append_basic_block("done")
        b.branch(loop)
        b.position_at_end(loop)
        i = b.phi(_int)
        old = [b.phi(self.vector) for _ in sums]
        new = body(i, old)
        after = b.add(i, _int(1))
        for phi, first, next in zip([i, *old], [_int(0), *sums], [after, *new]):
            phi.add_incoming(first, before)
            phi.add_incoming(next, loop)
        b.cbranch(b.icmp_signed("<", after, length), loop, done)
        b.position_at_end(done)
        return new


def _pointer(context, builder, array_type, array, offset):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


def _product_tile(vectors: int):
    """The product step for `vectors` vectors of channels."""

    @intrinsic
    def tile(typing, x, x_at, starts, j_at, offsets, i_at, length, w, w_at, y, y_at, add):
        """y[j, k] = (add: y[j, k] +) sum over i < length of x[starts[j] + offsets[i]] w[i, k], PIXELS values of j.

        The arrays are flat, each with a start; rows of w and y are `vectors` registers long.  The sums start at 0 and
        are added to y at the end, so that y collects one rounding error per piece of the sum, not per term.
        """
        n = types.intp
        signature = types.void(x, n, starts, n, offsets, n, n, w, n, y, n, types.boolean)

        def generate(context, builder, signature, args):
            x_type, starts_type, offsets_type, w_type, y_type = (signature.args[i] for i in (0, 2, 4, 7, 9))
            x, x_at, starts, j_at, offsets, i_at, length, w, w_at, y, y_at, add = args
            e = _Emit(context, builder, x_type.dtype)
            x = _pointer(context, builder, x_type, x, x_at)
            starts = _pointer(context, builder, starts_type, starts, j_at)
            offsets = _pointer(context, builder, offsets_type, offsets, i_at)
            w = _pointer(context, builder, w_type, w, w_at)
            y = _pointer(context, builder, y_type, y, y_at)
            pixels = [e.at(x, builder.load(e.at(starts, j))) for j in range(PIXELS)]
            places = [e.at(y, n * e.lanes) for n in range(PIXELS * vectors)]

            def body(i, sums):
                offset = builder.load(e.at(offsets, i))
                row = e.at(w, builder.mul(i, _int(vectors * e.lanes)))
                weights = [e.load(e.at(row, v * e.lanes)) for v in range(vectors)]
                values = [e.spread(builder.load(e.at(pixel, offset))) for pixel in pixels]
                pairs = [(value, weight) for value in values for weight in weights]
                return [builder.call(e.fma, [*pair, old]) for pair, old in zip(pairs, sums)]

            for total, place in zip(e.sum_loop(length, [e.zero] * len(places), body), places):
                before = builder.select(add, e.load(place), e.zero)
                e.store(builder.fadd(before, total), place)
            return context.get_dummy_value()

        return signature, generate

    return tile


product_tile_1, product_tile_2, product_tile_3, product_tile_4 = (_product_tile(n) for n in (1, 2, 3, 4))


@intrinsic
def transpose_tile(typing, x, x_at, x_stride, y, y_at, y_stride):
    """y[j, i] = x[i, j] for a square tile as wide as a register.

    Interleaving row i with row i + n/2 moves the top bit of the row index to the bottom of the column index, and the
    column's top bit to the bottom of the row's.  After log2(n) rounds the two are exchanged.
    """
    n = types.intp
    signature = types.void(x, n, n, y, n, n)

    def generate(context, builder, signature, args):
        x_type, y_type = signature.args[0], signature.args[3]
        x, x_at, x_stride, y, y_at, y_stride = args
        e = _Emit(context, builder, x_type.dtype)
        x = _pointer(context, builder, x_type, x, x_at)
        y = _pointer(context, builder, y_type, y, y_at)
        rows = [e.load(e.at(x, builder.mul(x_stride, _int(i)))) for i in range(e.lanes)]
        half = e.lanes // 2
        low, high = (
            [lane + i for i in range(first, first + half) for lane in (0, e.lanes)] for first in (0, half)
        )
        for _ in range(e.lanes.bit_length() - 1):
            pairs = list(zip(rows[:half], rows[half:]))
            rows = [e.shuffle(a, b, lanes) for a, b in pairs for lanes in (low, high)]
        for j, row in enumerate(rows):
            e.store(row, e.at(y, builder.mul(y_stride, _int(j))))
        return context.get_dummy_value()

    return signature, generate
