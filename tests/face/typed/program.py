"""An ordinary program: mypy and pyright accept it, and it runs."""

from __future__ import annotations

import numpy as np

import tinygen as tg
from tinygen import nn, optim
from tinygen.models.vae import Config
from tinygen.nn import functional as F


class Net(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.first = nn.Linear(3, width)
        self.norm = nn.LayerNorm(width)
        self.last = nn.Sequential(nn.ReLU(), nn.Linear(width, 2))

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.last(self.norm(self.first(x)))


def main() -> None:
    tg.manual_seed(0)
    x: tg.Tensor = tg.randn(2, 3, requires_grad=True)
    y: tg.Tensor = (x * 2 + 1 - x / 3).exp().sum(0, keepdim=True)
    y.sum().backward()
    assert x.grad is not None
    sizes: int = x.shape.numel() + x.shape[0] + len(x) + x.size(-1)
    values, indices = x.max(1)
    pieces: tuple[tg.Tensor, ...] = x.chunk(3, dim=1)
    number: float = x.mean().item()
    array: np.ndarray = x.detach().numpy()
    whole: tg.Tensor = tg.cat([*pieces, values.unsqueeze(1), tg.tensor([[1.0], [2.0]])], dim=1)
    print(sizes, indices, number, array.shape, whole.view(-1).dtype == tg.float32, x.device)

    net = Net()
    optimizer = optim.Adam(net.parameters(), lr=1e-3, betas=(0.9, 0.99))
    schedule = optim.lr_scheduler.StepLR(optimizer, 10)
    for _ in range(2):
        loss = F.cross_entropy(net(x.detach()), tg.tensor([0, 1])) + F.softmax(net(x.detach()), dim=-1).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    with tg.no_grad():
        net.load_state_dict(net.state_dict())
        net.eval().to("cpu")
    (gradient,) = tg.autograd.grad((x**2).sum(), x)
    handle = x.register_hook(lambda g: g * 2)
    handle.remove()
    config = Config(steps=10, batch=4)
    print(gradient.shape, config.steps, tg.Size([2]), tg.finfo(tg.float32).eps)


if __name__ == "__main__":
    main()
