"""The engine: Tensors, the tape, and backward.  Everything else is built on it; it needs only the kernels.

Read it in this order: errors · dtypes · devices · grad_mode · memory · tensor · node · calls · primitive ·
sweep_ops · backward · gradients.  Skim dtypes, devices and calls: what follows needs little of them.  This page
follows one example through it, naming every file and function that runs (`tests/engine/test_page.py` checks that):

    y = tinygen.tanh(x)         # x requires a gradient
    y.sum().backward()

**Forward.** `tanh` (ops/elementwise/activation.py) is a Primitive: a forward on arrays and, under it, one
derivative row per input, `lambda g, y: g * (1 - y * y)`. `Primitive.__call__` (primitive.py) takes the arrays
out of the Tensors (`_operands`), calls the forward and wraps its result (`_wrap`, tensor.py). As x requires a
gradient, `_record` leaves a Node (node.py: `Node.__init__`): the operation, for each input where its gradient
goes (`parents`: a Node or a leaf Tensor), and one Saved (`Saved.__init__`) for every array that a row names.
tanh's row names `y`, so y's array is saved and x's is not.  What `kernels.tanh` computes is described in its own
folder (kernels/elementwise/reference.py); this page stops where a kernel is called.

`sum` (ops/reduce.py) is a function that callers reach through `call` (face/calls.py; face is what users see:
argument checks, error messages, printing); it finds its dimensions (`normalize_dims`, with `ndim`) and calls the
Primitive `sum_over`. Its row names only `x_shape`: nothing is saved.

**Where the tape is.** There is no list.  A Tensor points to its Node (`_edge`), a Node to the Nodes of its
inputs.  A Node never points to its own output Tensor, so the two are no reference cycle: when the last Tensor of
a graph goes, its Nodes and all that they saved go at once, without the garbage collector.  One cycle is possible, as
in PyTorch: after `backward(create_graph=True)` x holds `x.grad`, whose Nodes lead to the leaf x.  Use `grad`
(gradients.py) for that, or set `x.grad = None`.

**Backward.** The method `backward` calls the function `backward` (backward.py), which makes the incoming
gradient, a single 1 (`seeds_of`), finds the Node of y (`edge_of`), switches recording off (`run_sweep`) and lets
`_add_to_leaves` add what `sweep` finds to `x.grad` (`_accumulate`; `in_own_memory` copies a gradient whose memory
something else may hold). `sweep` is the whole idea:

    visit consumers before producers (`topological`: a Node's serial number is larger than those of its ancestors),
    run its derivative rows          (`_pass_on`: `input_gradients`, node.py),
    add                              (`_add`: in place only where the memory is new, `_is_new`).

A row is called with the values that it names (`run_row`, made by `bind_row` in node.py), looked up in
RowArguments (`RowArguments.__init__`, `__missing__`); `restore` makes a saved array a Tensor again.  sum's
row (`_spread`) repeats g with `expand` (sweep_ops.py); tanh's row multiplies and subtracts (`operator`,
ops/tensor/operators.py; `mul` and `minus`, ops/elementwise/arithmetic.py). The expanded g is a view of g:
memory.py notices (`share_memory`, `owner`) and marks the two as one family, the Tensors that are views of one another
(`join`, `_family`, `hold`).  Nothing is broadcast here.  Where an input was, the sweep sums its gradient to the
input's shape (`sum_to`, called by `_fit`), so no row mentions broadcasting.

**When memory is freed.** As soon as a Node's rows have run, the sweep drops what the Node saved; `Saved.__del__`
notes in memory.py that this memory is no longer saved.  `retain_graph=True` keeps it, and so does
`create_graph=True` unless `retain_graph` says otherwise.  Nodes whose rows did not run keep theirs until the graph
goes: those off the paths to `inputs`, and those whose gradient was added to a part of another (`Primitive.adds`).
Each gradient is dropped when its Node has been visited.

**Why grad of grad is free.** Rows see Tensors and are written with operations.  With `create_graph=True` the
sweep leaves recording on, so the rows are themselves recorded; for that, `restore` gives a saved array its old place
in the graph (for a leaf: the leaf itself, as `_edge`).  The operations that the sweep itself performs are in
sweep_ops.py, and the derivative of each is again one of them.  A fused rule (`Primitive.fused`), a backward kernel on
arrays, replaces the rows only while nothing is recorded.

**What stops a silent wrong gradient.** All Tensors over one memory share a Guard (memory.py:
`Guard.__init__`). Every write through a Tensor raises its version; `restore` compares it with the version at
the time of saving and refuses.  Writes made through NumPy cannot be detected, so memory that NumPy may write to
(`exposed`) is copied when it is saved, and `.numpy()` of memory that is saved is read-only.  In-place operations give
the Tensor a new place in the graph (ops/tensor/overwrite.py) or are refused.  The limits: a write past all of this
(to `_data`, by C code, on a GPU by another library) is not seen, as only the version protects a GPU's memory.  And
views of separate parts share one version, so backward may refuse although the part it saved is unchanged.
"""
