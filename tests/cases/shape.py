"""Shapes."""

from cases.table import U, case

case(
    "reshape",
    lambda T, F, x: (T.reshape(x, (4, 3)), x.reshape(2, -1), x.reshape(-1), x.reshape([3, 2, 2])),
    U(3, 4),
)
case("reshape", lambda T, F, x: (x.reshape(0), x.reshape(-1), x.reshape(3, 0), x.reshape(5, 0, 1)), U(0, 3))
case("reshape", lambda T, F, x: (x.reshape(()), x.reshape(1), x.reshape(1, 1)), U(1, 1))
case("Tensor.view", lambda T, F, x: (x.contiguous().view(4, 3), x.contiguous().view(-1)), U(3, 4))
case("Tensor.contiguous", lambda T, F, x: x.contiguous().view(-1), U(3, 4))
case("Tensor.contiguous", lambda T, F, x: x.transpose(0, 1).contiguous() * 2, U(3, 4))
case("flatten", lambda T, F, x: (T.flatten(x), x.flatten(1), x.flatten(0, 1), x.flatten(1, 2)), U(2, 3, 2, 1))
case("flatten", lambda T, F, x: T.flatten(x), U())
case("flatten", lambda T, F, x: x.flatten(1), U(0, 2, 3))
case("unflatten", lambda T, F, x: (T.unflatten(x, 1, (2, -1)), x.unflatten(0, (1, 3))), U(3, 4))
case("squeeze", lambda T, F, x: (T.squeeze(x), x.squeeze(0), x.squeeze(1), x.squeeze((0, 2))), U(1, 3, 1))
case("squeeze", lambda T, F, x: (x.squeeze(), x.squeeze(0), x.squeeze(-1)), U())
case("unsqueeze", lambda T, F, x: (T.unsqueeze(x, 0), x.unsqueeze(1), x.unsqueeze(-1)), U(3, 4))
case("unsqueeze", lambda T, F, x: x.unsqueeze(0), U())
case(
    "permute", lambda T, F, x: (T.permute(x, (2, 0, 1)), x.permute(1, 2, 0), x.permute(-1, 0, 1)), U(3, 4, 2)
)
case("permute", lambda T, F, x: x.permute(()), U())
case("transpose", lambda T, F, x: (T.transpose(x, 0, 2), x.transpose(-1, -2), x.mT), U(3, 4, 2))
case("t", lambda T, F, x: (T.t(x), x.t(), x.T), U(3, 4))
case("t", lambda T, F, x: T.t(x), U(3))
case("broadcast_to", lambda T, F, x: (T.broadcast_to(x, (2, 3, 4)), x.broadcast_to((3, 4))), U(3, 1))
case("Tensor.expand", lambda T, F, x: (x.expand(2, 3, 4), x.expand(-1, 4), x.expand((3, 1))), U(3, 1))
case("Tensor.expand", lambda T, F, x: (x.expand(2, 3), x.expand(0)), U())
case("Tensor.expand", lambda T, F, x: x.expand(4, 0, 3), U(0, 3))
case("Tensor.expand_as", lambda T, F, x, y: x.expand_as(y) * y, U(3, 1), U(2, 3, 4))
case("Tensor.repeat", lambda T, F, x: (x.repeat(2, 3), x.repeat(2, 1, 1), x.repeat(0, 1)), U(3, 2))
case("Tensor.repeat", lambda T, F, x: (x.repeat(3), x.repeat(2, 2), x.repeat(1, 1)), U())
case("Tensor.view_as", lambda T, F, x, y: x.view_as(y) * y, U(3, 4), U(2, 6))
case("flip", lambda T, F, x: (T.flip(x, (0,)), x.flip([0, 1]), x.flip((-1,))), U(3, 4))
case("cat", lambda T, F, x, y: (T.cat([x, y]), T.cat((x, y, x), dim=0), T.cat([y], -1)), U(3, 4), U(2, 4))
case("cat", lambda T, F, x, y: T.cat([x, y], 1), U(3, 0), U(3, 2))
case("cat", lambda T, F, x, y: T.cat([x, y], 1), U(0), U(3, 2))
case(
    "stack",
    lambda T, F, x, y: (T.stack([x, y]), T.stack((x, y), 1), T.stack([x, y, x], -1)),
    U(3, 4),
    U(3, 4),
)
case("stack", lambda T, F, x, y: T.stack([x, y]), U(), U())
case("narrow", lambda T, F, x: (T.narrow(x, 0, 1, 2), x.narrow(-1, 0, 3), x.narrow(1, 2, 0)), U(3, 4))
case("narrow", lambda T, F, x: x.narrow(0, -2, 2), U(3, 4))
case("split", lambda T, F, x: (*T.split(x, 2), *x.split([1, 3], 1), *x.split(5)), U(3, 4))
case("split", lambda T, F, x: x.split(2), U(0, 2))
case("chunk", lambda T, F, x: (*T.chunk(x, 2), *x.chunk(3, 1), *x.chunk(7)), U(3, 4))
case("chunk", lambda T, F, x: x.chunk(3, 1), U(2, 0))
case("unbind", lambda T, F, x: (*T.unbind(x), *x.unbind(1)), U(3, 2))
case("reshape", lambda T, F, x: (T.reshape(input=x, shape=(4, 3)), x.reshape(shape=(2, 6))), U(3, 4))
case("permute", lambda T, F, x: (T.permute(input=x, dims=(1, 0)), x.permute(dims=(1, 0))), U(3, 4))
case("flip", lambda T, F, x: (T.flip(input=x, dims=[0]), x.flip(0, 1), x.flip(-1)), U(3, 4))
case("flip", lambda T, F, x: x.flip(0), U(), other_dtypes=False)
case("split", lambda T, F, x: T.split(tensor=x, split_size_or_sections=2, dim=1), U(3, 4))
case(
    "cat",
    lambda T, F, x: (T.cat(tensors=[x, x], dim=1), T.concat([x, x]), T.concatenate([x], dim=-1)),
    U(3, 4),
)
case("Tensor.expand", lambda T, F, x: x.expand(size=(2, 3, 4)), U(3, 1))
case("Tensor.repeat", lambda T, F, x: x.repeat(repeats=(2, 1)), U(3, 1))
case(
    "transpose",
    lambda T, F, x: (T.swapaxes(x, 0, 1), x.swapdims(-1, 0), x.transpose(dim0=0, dim1=1)),
    U(3, 4, 2),
)
for at in ((1,), (-2,), (1, 0), (5, -1), ((1, 2), (0, 1)), ((1, 1), (0, 0)), (-9,), (0, 1)):
    case("roll", lambda T, F, x, at=at: (T.roll(x, *at), x.roll(*at)), U(3, 4))
case("roll", lambda T, F, x: (T.roll(input=x, shifts=1), x.roll(shifts=2, dims=0)), U(5))
case("roll", lambda T, F, x: x.roll(1), U())
case("roll", lambda T, F, x: (x.roll(1), x.roll(1, 0), x.roll((1, 2), (0, 1))), U(0, 3))
case(
    "movedim",
    lambda T, F, x: (T.movedim(x, 0, 2), x.movedim(-1, 0), x.moveaxis((0, 1), (-1, -2))),
    U(2, 3, 4),
)
case("movedim", lambda T, F, x: T.movedim(input=x, source=(2, 0), destination=(0, 1)), U(2, 3, 4))
case("movedim", lambda T, F, x: (x.movedim(0, 0), x.movedim((), ())), U())
case(
    "meshgrid",
    lambda T, F, x, y: (*T.meshgrid(x, y, indexing="ij"), *T.meshgrid([x, y, x], indexing="xy")),
    U(3),
    U(2),
)
case(
    "meshgrid",
    lambda T, F, x, y: (*T.meshgrid(x, y, indexing="xy"), *T.meshgrid(x, indexing="ij")),
    U(),
    U(0),
)
case("split", lambda T, F, x: (*x.split(split_size=2), *x.split([1, 3], dim=1)), U(3, 4))
case("select", lambda T, F, x: (T.select(x, 0, 1), x.select(-1, -4), x.select(dim=1, index=3)), U(3, 4))
case("ravel", lambda T, F, x: (T.ravel(x), x.ravel()), U(3, 4))
case("ravel", lambda T, F, x: T.ravel(x), U())
