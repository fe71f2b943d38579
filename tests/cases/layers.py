"""Layers in training, then in evaluation, with inputs of the case in place of their parameters.

So gradients with respect to parameters are compared as well, to second order.  Constructor arguments, state and
printing are compared in tests/nn.
"""

from cases.table import LAYER, C, D, N, P, U, V, case


def layer(
    name, *args, inputs, parameters=(), call=None, modes=(True, False), second=True, parity=True, **options
):
    """A case for nn.`name`(*args, **options).

    inputs      makers of the arguments
    parameters  their shapes, in the layer's order
    call        how it is called, if not as net(*inputs)
    modes       training (True) or evaluation, one after the other; running statistics carry x from one to the
                other outside the graph, so finite differences do not apply
    """
    call = call or (lambda net, *arrays: net(*arrays))

    def run(T, F, *arrays):
        net = getattr(T.nn, name)(*args, **options)
        net = net.to(next((x for x in reversed(arrays) if x.is_floating_point()), T.zeros(1)))
        put(net, arrays[len(inputs) :])
        T.manual_seed(0)
        outputs = []
        for training in modes:
            result = call(net.train(training), *arrays[: len(inputs)])
            outputs += [y for y in result if y is not None] if isinstance(result, tuple) else [result]
        return outputs

    case(f"nn.{name}", run, *inputs, *(U(*shape, low=-1, high=1) for shape in parameters), second=second,
         parity=parity, **LAYER)  # fmt: skip


def put(net, arrays):
    """Plain attributes in place of the parameters, so that the graph goes through them."""
    names = [name for name, _ in net.named_parameters()]
    assert len(names) == len(arrays), names
    for name, array in zip(names, arrays):
        *path, last = name.split(".")
        owner = net
        for part in path:
            owner = getattr(owner, part)
        delattr(owner, last)
        setattr(owner, last, array)


ROWS, LINES, IMAGES = U(4, 6), U(2, 4, 7), U(2, 4, 5, 4)

layer("Linear", 6, 3, inputs=[ROWS], parameters=[(3, 6), (3,)])
layer("Linear", 6, 3, bias=False, inputs=[U(2, 3, 6)], parameters=[(3, 6)])
layer("Embedding", 5, 3, inputs=[N(4, 2, high=5)], parameters=[(5, 3)])
layer("Embedding", 5, 3, padding_idx=2, inputs=[N(4, high=5)], parameters=[(5, 3)], second=False)
layer("PReLU", 4, inputs=[LINES], parameters=[(4,)])
layer("Conv1d", 4, 6, 3, 2, 1, groups=2, inputs=[LINES], parameters=[(6, 2, 3), (6,)])
layer("Conv2d", 4, 2, 3, padding=1, bias=False, inputs=[IMAGES], parameters=[(2, 4, 3, 3)])
for mode in ("reflect", "replicate", "circular"):
    layer("Conv1d", 4, 2, 2, padding="same", padding_mode=mode, inputs=[LINES], parameters=[(2, 4, 2), (2,)])
    layer(
        "Conv2d",
        4,
        2,
        (2, 3),
        padding=(2, 1),
        padding_mode=mode,
        inputs=[IMAGES],
        parameters=[(2, 4, 2, 3), (2,)],
    )
layer("ConvTranspose1d", 4, 6, 3, 2, 1, 1, 2, inputs=[LINES], parameters=[(4, 3, 3), (6,)])
layer("ConvTranspose2d", 4, 2, 3, 2, inputs=[IMAGES], parameters=[(4, 2, 3, 3), (2,)])

AFFINE = [(4,), (4,)]
for modes in ((True,), (False,)):
    layer("BatchNorm1d", 4, modes=modes, inputs=[U(5, 4)], parameters=AFFINE)
    layer("BatchNorm1d", 4, momentum=None, modes=modes, inputs=[LINES], parameters=AFFINE)
    layer("BatchNorm2d", 4, eps=0.1, affine=False, modes=modes, inputs=[IMAGES])
    layer("InstanceNorm2d", 4, track_running_stats=True, modes=modes, inputs=[IMAGES])
layer("BatchNorm2d", 4, track_running_stats=False, inputs=[IMAGES], parameters=AFFINE)
layer("InstanceNorm1d", 4, affine=True, inputs=[LINES], parameters=AFFINE)
layer("LayerNorm", 6, inputs=[ROWS], parameters=[(6,), (6,)])
layer("LayerNorm", (4, 7), bias=False, inputs=[LINES], parameters=[(4, 7)])
layer("GroupNorm", 2, 4, inputs=[LINES], parameters=AFFINE)
layer("RMSNorm", 6, eps=0.1, inputs=[ROWS], parameters=[(6,)])

WORDS, OTHERS = U(3, 2, 4, low=-1, high=1), U(5, 2, 4, low=-1, high=1)
PROJECTIONS = [(12, 4), (12,), (4, 4), (4,)]


def attention(*inputs, parameters=PROJECTIONS, **options):
    layer("MultiheadAttention", 4, 2, inputs=inputs, parameters=parameters, **options)


attention(WORDS, OTHERS, U(5, 2, 4))
attention(U(3, 4), U(5, 4), U(5, 4))
attention(WORDS, OTHERS, U(5, 2, 4), bias=False, parameters=[(12, 4), (4, 4)])
attention(WORDS, call=lambda net, x: net(x, x, x, average_attn_weights=False), batch_first=True)
attention(WORDS, OTHERS, call=lambda net, x, y: net(x, y, y, need_weights=False), second=False)
# PyTorch's fused attention, without need_weights, has no second derivative
LATER = C([[False, True, True], [False, False, True], [False, False, False]])
PADDING = C([[False, False, True], [False, False, False]])
for weights in (True, False):
    once = dict(second=weights)
    attention(WORDS, LATER, call=lambda net, x, m, w=weights: net(x, x, x, None, w, m), **once)
    attention(
        WORDS, LATER, call=lambda net, x, m, w=weights: net(x, x, x, None, w, m, is_causal=True), **once
    )
    attention(WORDS, PADDING, call=lambda net, x, m, w=weights: net(x, x, x, m, w), **once)
    attention(
        WORDS,
        LATER,
        PADDING,
        call=lambda net, x, m, n, w=weights: net(x, x, x, n, w, m, is_causal=True),
        **once,
    )
    attention(WORDS, U(4, 3, 3), call=lambda net, x, m, w=weights: net(x, x, x, None, w, m), **once)
attention(U(3, 4), U(3, 3), C([0.0, -1.0, 0.0]), call=lambda net, x, m, n: net(x, x, x, n, True, m))
attention(WORDS, call=lambda net, x: net(x, x, x), dropout=0.3, parity=False)

FUNCTIONS = """Identity Flatten ReLU LeakyReLU ELU SiLU GELU Sigmoid Tanh Softplus LogSigmoid Hardtanh ReLU6 Mish
    Softsign SELU GLU Softmax LogSoftmax Softmin"""
for name in FUNCTIONS.split():
    layer(name, inputs=[ROWS])
layer("Softmax", dim=0, inputs=[ROWS])
layer("Unflatten", 1, (2, 3), inputs=[ROWS])
for p in (0.0, 1.0):
    layer("Dropout", p, inputs=[ROWS])
    layer("Dropout2d", p, inputs=[IMAGES])
layer("Dropout", inputs=[ROWS], parity=False)
layer("Dropout2d", inputs=[IMAGES], parity=False)

layer("MaxPool1d", 3, 2, 1, inputs=[D(2, 4, 7)])
layer("MaxPool2d", 2, ceil_mode=True, inputs=[D(2, 4, 5, 4)])
layer("AvgPool1d", 3, 2, 1, inputs=[LINES])
layer("AvgPool2d", 2, inputs=[IMAGES])
layer("AdaptiveAvgPool1d", 3, inputs=[LINES])
layer("AdaptiveAvgPool2d", (2, 3), inputs=[IMAGES])
layer("Upsample", scale_factor=1.5, mode="bilinear", inputs=[IMAGES])
layer("UpsamplingNearest2d", 7, inputs=[IMAGES])
layer("UpsamplingBilinear2d", scale_factor=2, inputs=[IMAGES])
layer("PixelShuffle", 2, inputs=[IMAGES])
layer("PixelUnshuffle", 2, inputs=[U(2, 1, 4, 6)])
layer("ZeroPad2d", (1, 2, 0, -1), inputs=[IMAGES])
layer("ConstantPad2d", 1, 0.5, inputs=[IMAGES])
layer("ReflectionPad2d", (1, 2, 3, 0), inputs=[IMAGES])
layer("ReplicationPad2d", 2, inputs=[IMAGES])

for name in "MSELoss L1Loss SmoothL1Loss HuberLoss CosineSimilarity PairwiseDistance".split():
    layer(name, inputs=[ROWS, V(4, 6)])
layer("BCELoss", inputs=[V(4, 6), V(4, 6)])
layer("BCEWithLogitsLoss", inputs=[ROWS, V(4, 6)])
layer("KLDivLoss", reduction="batchmean", inputs=[ROWS, V(4, 6)])
layer("GaussianNLLLoss", inputs=[ROWS, V(4, 6), P(4, 6)])
layer("NLLLoss", ignore_index=1, inputs=[ROWS, N(4)])
layer("CrossEntropyLoss", label_smoothing=0.1, inputs=[ROWS, N(4)])


def network(T, F, x, w, b):
    """Containers: their modules are found and called in order."""
    inner = T.nn.Linear(6, 6)
    net = T.nn.ModuleList([T.nn.Sequential(inner, T.nn.Tanh()), T.nn.ReLU()]).to(x.dtype)
    put(net, [w, b])
    return net[1](net[0](x)), net[0][1](x)


for name in "ModuleList Sequential Module".split():
    case(f"nn.{name}", network, ROWS, U(6, 6, low=-1, high=1), U(6), **LAYER)


def dictionaries(T, F, x, w, b):
    """Containers with names, and containers of parameters."""
    inner = T.nn.ModuleDict({"linear": T.nn.Linear(6, 6)}).to(x)
    put(inner, [w, b])
    weights = T.nn.ParameterList([T.ones(6)]).to(x)
    named = T.nn.ParameterDict({"shift": T.ones(6)}).to(x)
    return inner["linear"](x) * weights[0] + named["shift"]


for name in "ModuleDict ParameterList ParameterDict".split():
    case(f"nn.{name}", dictionaries, ROWS, U(6, 6, low=-1, high=1), U(6), **LAYER)
case(
    "nn.Parameter",
    lambda T, F, x: T.nn.Parameter(T.ones(4, dtype=x.dtype, device=x.device)) * x,
    U(3, 4),
    **LAYER,
)
