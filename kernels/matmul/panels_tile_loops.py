"""The innermost step of `panels_loops.py`, written as LLVM instructions.  Importing this file imports numba (0.5 s).

A tile of c, ROWS rows by two vectors, is summed in registers: in each step two vectors of b meet one number of each
row of a, which is 16 (12) multiply-adds for 10 (8) loads.  Unlike `tile_loops.py`, a tile does not add to c but writes
start + a b, so that c is only written, where it lies in memory and not in the cache; its lines are asked for at the
start and arrive while the sum runs.  A tile may also keep the vectors of b that it reads: then b is copied into a
panel without a pass of its own.

Addresses are not checked here: `panels_loops.py` gives only tiles that lie within their arrays.
"""

from tinygen.kernels.matmul.tile_loops import ROWS, VECTOR_BYTES
from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import cgutils, intrinsic, ir, types

AHEAD = 24  # terms of b that is copied; a line may come from memory
UNROLLED = 4  # steps, for which the addresses of a's rows are computed once

_int = ir.IntType(64)


class _Tile:
    """The instructions of one tile with these rows; `kept` is where b's vectors are copied to, or None."""

    def __init__(self, context, builder, dtype, rows: int, by_rows: bool, kept) -> None:
        self.b, self.rows, self.by_rows, self.kept = builder, rows, by_rows, kept
        element, self.size = context.get_value_type(dtype), dtype.bitwidth // 8
        self.lanes = VECTOR_BYTES // self.size
        self.vector = ir.VectorType(element, self.lanes)
        self.undefined = ir.Constant(self.vector, ir.Undefined)
        self.first = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)

    def at(self, pointer, index):
        return self.b.gep(pointer, [_int(index) if isinstance(index, int) else index])

    def load(self, pointer):
        return self.b.load(self.b.bitcast(pointer, self.vector.as_pointer()), align=self.size)

    def store(self, value, pointer) -> None:
        self.b.store(value, self.b.bitcast(pointer, self.vector.as_pointer()), align=self.size)

    def spread(self, pointer):
        """The number at this place in every lane"""
        lane = self.b.insert_element(self.undefined, self.b.load(pointer, align=self.size), ir.IntType(32)(0))
        return self.b.shuffle_vector(lane, self.undefined, self.first)

    def ask(self, pointer, to_write: bool = False) -> None:
        """Ask for a line of the cache; an address outside of memory does no harm."""
        byte, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32])
        prefetch = cgutils.get_or_insert_function(self.b.module, kind, "llvm.prefetch.p0i8")
        self.b.call(prefetch, [self.b.bitcast(pointer, byte), i32(int(to_write)), i32(3), i32(1)])

    def products(self, a, a_step, b, b_step, k, sums, steps: int):
        """sums + the products of `steps` terms, from term k, which is at a and b"""
        rows = [self.at(a, self.b.mul(a_step, _int(r)) if self.by_rows else r) for r in range(self.rows)]
        for step in range(steps):
            right = [self.load(self.at(b, v * self.lanes)) for v in range(2)]
            if self.kept is not None:
                panel = self.at(self.kept, self.b.mul(self.b.add(k, _int(step)), _int(2 * self.lanes)))
                later = self.at(b, self.b.mul(b_step, _int(AHEAD)))
                for v in range(2):
                    self.store(right[v], self.at(panel, v * self.lanes))
                    self.ask(self.at(later, v * self.lanes))
            for r in range(self.rows):
                left = self.spread(self.at(rows[r], step) if self.by_rows else rows[r])
                for v in range(2):
                    product = self.b.fmul(left, right[v], flags=["contract"])
                    sums[r, v] = self.b.fadd(sums[r, v], product, flags=["contract"])
            if step + 1 < steps:
                b = self.at(b, b_step)
                rows = rows if self.by_rows else [self.at(row, a_step) for row in rows]
        return sums

    def loop(self, a, a_step, b, b_step, k, end, sums, steps: int):
        """Terms k … end, `steps` at a time  ->  the a, b, k and sums after it"""
        builder, before = self.b, self.b.block
        head, body, done = (builder.append_basic_block(name) for name in ("head", "body", "done"))
        builder.branch(head)
        builder.position_at_end(head)
        starts = [a, b, k, *sums.values()]
        now = [builder.phi(value.type) for value in starts]
        builder.cbranch(builder.icmp_signed("<", now[2], end), body, done)
        builder.position_at_end(body)
        new = self.products(now[0], a_step, now[1], b_step, now[2], dict(zip(sums, now[3:])), steps)
        far = _int(steps)
        after = [
            self.at(now[0], far if self.by_rows else builder.mul(a_step, far)),
            self.at(now[1], builder.mul(b_step, far)),
            builder.add(now[2], far),
            *new.values(),
        ]
        for phi, start, next in zip(now, starts, after):
            phi.add_incoming(start, before)
            phi.add_incoming(next, body)
        builder.branch(head)
        builder.position_at_end(done)
        return *now[:3], dict(zip(sums, now[3:]))

    def write(self, c, c_row, start, start_row, a, a_step, b, b_step, depth) -> None:
        for r in range(self.rows):
            for v in range(2):
                self.ask(self.at(self.at(c, self.b.mul(c_row, _int(r))), v * self.lanes), to_write=True)
        zero = ir.Constant(self.vector, [0.0] * self.lanes)
        sums = {(r, v): zero for r in range(self.rows) for v in range(2)}
        steps = UNROLLED // 2 if self.by_rows else UNROLLED
        whole = self.b.sub(depth, self.b.srem(depth, _int(steps)))
        a, b, k, sums = self.loop(a, a_step, b, b_step, _int(0), whole, sums, steps)
        *_, sums = self.loop(a, a_step, b, b_step, k, depth, sums, 1)
        for (r, v), total in sums.items():
            before = self.load(self.at(self.at(start, self.b.mul(start_row, _int(r))), v * self.lanes))
            place = self.at(self.at(c, self.b.mul(c_row, _int(r))), v * self.lanes)
            self.store(self.b.fadd(before, total), place)


def _function(context, module, dtype, rows: int, by_rows: bool, keeps: bool):
    """A tile as a function of its own: inlined, it would have to share registers with the loops around it."""
    name = f"tinygen_tile_{rows}_{'rows' if by_rows else 'columns'}{'_kept' * keeps}_{dtype}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [_int] * 10), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block())
    pointer = context.get_value_type(dtype).as_pointer()
    c, start, a, b, panel = (builder.inttoptr(function.args[i], pointer) for i in (0, 2, 4, 6, 9))
    emit = _Tile(context, builder, dtype, rows, by_rows, panel if keeps else None)
    c_row, start_row, a_step, b_step, depth = (function.args[i] for i in (1, 3, 5, 7, 8))
    emit.write(c, c_row, start, start_row, a, a_step, b, b_step, depth)
    builder.ret_void()
    return function


def _tile(rows: int, by_rows: bool, keeps: bool = False):
    """A tile with this many rows.  a's terms are neighbors and its rows a_step apart, or the other way round."""

    @intrinsic
    def tile(typing, like, c, c_row, start, start_row, a, a_step, b, b_step, depth, panel):
        n = types.intp

        def generate(context, builder, signature, args):
            function = _function(context, builder.module, signature.args[0].dtype, rows, by_rows, keeps)
            builder.call(function, args[1:])
            return context.get_dummy_value()

        return types.void(like, *[n] * 10), generate

    return tile


def _tiles(by_rows: bool):
    full, half, single, kept = (
        _tile(rows, by_rows, keeps)
        for rows, keeps in ((ROWS, False), (ROWS // 2, False), (1, False), (ROWS, True))
    )

    @njit(nogil=True, error_model="numpy")
    def tile(like, c, c_row, start, start_row, a, a_step, b, b_step, rows, depth, panel, keeps):
        """c = start + a b for up to ROWS rows.  c, start, a, b and panel are addresses, steps are elements of `like`.

        keeps: copy b to panel, if there are ROWS rows.
        """
        if rows == ROWS:
            if keeps:
                kept(like, c, c_row, start, start_row, a, a_step, b, b_step, depth, panel)
            else:
                full(like, c, c_row, start, start_row, a, a_step, b, b_step, depth, panel)
            return
        if rows >= ROWS // 2:
            half(like, c, c_row, start, start_row, a, a_step, b, b_step, depth, panel)
            done = ROWS // 2
        else:
            done = 0
        a_row = a_step if by_rows else 1
        for r in range(done, rows):
            skip = like.itemsize * r
            single(
                like,
                c + skip * c_row,
                c_row,
                start + skip * start_row,
                start_row,
                a + skip * a_row,
                a_step,
                b,
                b_step,
                depth,
                panel,
            )

    return tile


tile_of_rows, tile_of_columns = _tiles(True), _tiles(False)


@intrinsic
def address(typing, array, index):
    """Where element `index` of a flat array lies.  (An array as a variable would be counted with each assignment.)"""

    def generate(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(builder.gep(data, [args[1]]), context.get_value_type(types.intp))

    return types.intp(array, types.intp), generate


@intrinsic
def copy_strip(typing, a, a0, a_step, to, to0, depth):
    """to[k, r] = a[k a_step + r] for ROWS neighbors r, a vector at a time"""
    n = types.intp

    def generate(context, builder, signature, args):
        def place(i):
            data = context.make_array(signature.args[i])(context, builder, args[i]).data
            return builder.gep(data, [args[i + 1]])

        dtype = signature.args[0].dtype
        row = ir.VectorType(context.get_value_type(dtype), ROWS).as_pointer()
        source, target = place(0), place(3)
        with cgutils.for_range(builder, args[5]) as loop:
            value = builder.gep(source, [builder.mul(loop.index, args[2])])
            value = builder.load(builder.bitcast(value, row), align=dtype.bitwidth // 8)
            there = builder.gep(target, [builder.mul(loop.index, _int(ROWS))])
            builder.store(value, builder.bitcast(there, row), align=dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(a, n, n, to, n, n), generate
