"""The innermost loops of the convolutions: two small products whose sums stay in the CPU's vector registers.

LLVM does not keep a two-dimensional block of vectors in registers for a loop written with indices (it spills them or
vectorises the wrong axis), so the two loops are written as LLVM instructions, one vector operation a line.  On one
AVX-512 core (AMD EPYC, Zen 5) `product_tile` alone makes 274 GFLOP/s of float32.  Addresses are not checked in here:
`conv2d_loops.py` allocates everything they touch with the margin they need (a whole tile past the last position).
"""

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_features = llvm.get_host_cpu_features()
_wide = _features.get("avx512f", False)
BYTES = 64 if _wide else 32 if _features.get("avx2", False) else 16  # of one vector register
ROWS = 8 if _wide or "aarch64" in llvm.get_process_triple() else 4  # 8·3 sums need 32 registers, 4·3 need 16
VECTORS = 3
PIXELS = VECTORS * BYTES // 4  # of a tile in float32; half of it in float64
DOT_ROWS, DOT_COLUMNS = (4, 6) if ROWS == 8 else (3, 4)

_int = ir.IntType(64)


class _Emit:
    """The few vector instructions both loops are made of, for one element type."""

    def __init__(self, context, builder, dtype):
        self.b, self.lanes = builder, BYTES * 8 // dtype.bitwidth
        self.element = context.get_value_type(dtype)
        self.size = dtype.bitwidth // 8
        self.vector = ir.VectorType(self.element, self.lanes)
        self.zero = ir.Constant(self.vector, [0.0] * self.lanes)
        name = f"llvm.fmuladd.v{self.lanes}f{dtype.bitwidth}"
        self.fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(self.vector, [self.vector] * 3), name
        )
        name = f"llvm.vector.reduce.fadd.v{self.lanes}f{dtype.bitwidth}"
        self.fadd = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(self.element, [self.element, self.vector]), name
        )

    def at(self, pointer, index):
        return self.b.gep(pointer, [index])

    def load(self, pointer):
        return self.b.load(self.b.bitcast(pointer, self.vector.as_pointer()), align=self.size)

    def store(self, value, pointer):
        self.b.store(value, self.b.bitcast(pointer, self.vector.as_pointer()), align=self.size)

    def spread(self, scalar):
        """scalar in every lane"""
        undefined = ir.Constant(self.vector, ir.Undefined)
        lane0 = self.b.insert_element(undefined, scalar, ir.IntType(32)(0))
        first = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.b.shuffle_vector(lane0, undefined, first)

    def sum_loop(self, start, stop, step, count, body):
        """`count` vectors of sums, from zero: sums = body(i, sums) for i = start, start + step, … (at least one)."""
        b, before = self.b, self.b.block
        loop, done = b.append_basic_block("loop"), b.append_basic_block("done")
        b.branch(loop)
        b.position_at_end(loop)
        i = b.phi(_int)
        sums = [b.phi(self.vector) for _ in range(count)]
        new = body(i, sums)
        after = b.add(i, _int(step))
        i.add_incoming(_int(start), before)
        i.add_incoming(after, loop)
        for old, value in zip(sums, new):
            old.add_incoming(self.zero, before)
            old.add_incoming(value, loop)
        b.cbranch(b.icmp_signed("<", after, stop), loop, done)
        b.position_at_end(done)
        return new


def _pointer(context, builder, array_type, array, offset):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


@intrinsic
def product_tile(typing, w, w_at, x, x_at, offsets, offsets_at, length, y, y_at, y_stride):
    """y[k, p] = sum over l < length of w[l, k] x[offsets[l] + p], for ROWS values of k and VECTORS vectors of p.

    The arrays are flat with a start each; a row of y is y_stride long.
    """
    signature = types.void(
        w, types.intp, x, types.intp, offsets, types.intp, types.intp, y, types.intp, types.intp
    )

    def generate(context, builder, signature, args):
        w_type, _, x_type, _, offsets_type, _, _, y_type, _, _ = signature.args
        w, w_at, x, x_at, offsets, offsets_at, length, y, y_at, y_stride = args
        e = _Emit(context, builder, x_type.dtype)
        w = _pointer(context, builder, w_type, w, w_at)
        x = _pointer(context, builder, x_type, x, x_at)
        offsets = _pointer(context, builder, offsets_type, offsets, offsets_at)
        y = _pointer(context, builder, y_type, y, y_at)

        def body(l, sums):
            start = e.at(x, builder.load(e.at(offsets, l)))
            pixels = [e.load(e.at(start, _int(v * e.lanes))) for v in range(VECTORS)]
            weights = e.at(w, builder.mul(l, _int(ROWS)))
            new = []
            for k in range(ROWS):
                weight = e.spread(builder.load(e.at(weights, _int(k))))
                for v in range(VECTORS):
                    new.append(builder.call(e.fma, [weight, pixels[v], sums[k * VECTORS + v]]))
            return new

        sums = e.sum_loop(0, length, 1, ROWS * VECTORS, body)
        for k in range(ROWS):
            row = e.at(y, builder.mul(y_stride, _int(k)))
            for v in range(VECTORS):
                e.store(sums[k * VECTORS + v], e.at(row, _int(v * e.lanes)))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def dot_tile(typing, g, g_at, g_stride, x, x_at, offsets, offsets_at, length, y, y_at, y_stride):
    """y[k, l] += sum over p < length of g[k, p] x[offsets[l] + p], DOT_ROWS values of k, DOT_COLUMNS of l.

    length counts up to a whole vector: what lies past it in g must be zero.
    """
    signature = types.void(
        g, types.intp, types.intp, x, types.intp, offsets, types.intp, types.intp, y, types.intp, types.intp
    )

    def generate(context, builder, signature, args):
        g_type, x_type, offsets_type, y_type = (signature.args[i] for i in (0, 3, 5, 8))
        g, g_at, g_stride, x, x_at, offsets, offsets_at, length, y, y_at, y_stride = args
        e = _Emit(context, builder, x_type.dtype)
        g = _pointer(context, builder, g_type, g, g_at)
        x = _pointer(context, builder, x_type, x, x_at)
        offsets = _pointer(context, builder, offsets_type, offsets, offsets_at)
        y = _pointer(context, builder, y_type, y, y_at)
        rows = [e.at(g, builder.mul(g_stride, _int(k))) for k in range(DOT_ROWS)]
        columns = [e.at(x, builder.load(e.at(offsets, _int(l)))) for l in range(DOT_COLUMNS)]

        def body(p, sums):
            left = [e.load(e.at(row, p)) for row in rows]
            right = [e.load(e.at(column, p)) for column in columns]
            pairs = [(a, b) for a in left for b in right]
            return [builder.call(e.fma, [a, b, old]) for (a, b), old in zip(pairs, sums)]

        sums = e.sum_loop(0, length, e.lanes, DOT_ROWS * DOT_COLUMNS, body)
        for k in range(DOT_ROWS):
            row = e.at(y, builder.mul(y_stride, _int(k)))
            for l in range(DOT_COLUMNS):
                place = e.at(row, _int(l))
                total = builder.call(
                    e.fadd, [builder.load(place), sums[k * DOT_COLUMNS + l]], fastmath=["reassoc"]
                )
                builder.store(total, place)
        return context.get_dummy_value()

    return signature, generate
