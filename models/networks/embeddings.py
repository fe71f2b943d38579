"""Sinusoids that encode a time or a position.  Vaswani et al. 2017, arXiv 1706.03762, section 3.5."""

from __future__ import annotations

import math

from tinygen import arange, cat, nn


def sinusoidal_embedding(position, width: int, rates=None):
    """sin(p w_i) for i = 0 .. width/2 - 1, then cos(p w_i), where w_i = 10000^(-2i / width).  (N,) -> (N, width)

    The paper interleaves the two, and the seed programs and Ho et al.'s code divide by width/2 - 1; to the linear layer
    that follows, neither matters.  Computed in the dtype of the position.  rates: all w_i, if they are known
    """
    if width % 2:
        raise ValueError(f"sinusoidal_embedding: width is {width}, expected an even number")
    if rates is None:
        rates = rates_of(width, position.dtype, position.device)
    angles = position.unsqueeze(1) * rates
    return cat([angles.sin(), angles.cos()], 1)


def rates_of(width: int, dtype=None, device=None):
    """w_i = 10000^(-2i / width) for i = 0 .. width/2 - 1.  -> (width/2,)"""
    i = arange(width // 2, dtype=dtype, device=device)
    return (i * (-2 * math.log(10_000) / width)).exp()


class TimeEmbedding(nn.Module):
    """A two-layer network on the sinusoids of t, which tells every block of a diffusion model the noise level."""

    def __init__(self, frequencies: int, width: int) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.net = nn.Sequential(nn.Linear(frequencies, width), nn.SiLU(), nn.Linear(width, width))
        self.known = {}  # (dtype, device) -> rates: on a GPU, computing them in every step would be five launches

    def forward(self, t):
        """t (N,), floating -> (N, width)"""
        at = t.dtype, str(t.device)
        if at not in self.known:
            self.known[at] = rates_of(self.frequencies, t.dtype, t.device)
        return self.net(sinusoidal_embedding(t, self.frequencies, self.known[at]))
