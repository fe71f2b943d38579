"""DiT: a transformer instead of the U-Net.  Peebles & Xie 2022, arXiv 2212.09748.

Section 3.2 with adaLN-Zero blocks (figure 3): time and class set the shift, scale and gate of every layer.
"""

from __future__ import annotations

from tinygen import arange, cat, nn
from tinygen.models.networks.embeddings import TimeEmbedding, sinusoidal_embedding
from tinygen.nn import functional as F


class DiT(nn.Module):
    """x_t, t, label -> the noise in x_t.  A 28 x 28 image becomes 49 tokens of 4 x 4 pixels.

    The label `classes` means "no class" (classifier-free guidance), and so does None.  The last layer, from a token to
    its pixels, starts at 0, and therefore so does the output.
    outputs: output channels, by default as many as `channels`
    """

    def __init__(
        self,
        channels: int = 1,
        size: int = 28,
        patch: int = 4,
        width: int = 96,
        depth: int = 4,
        heads: int = 4,
        classes: int = 10,
        outputs: int | None = None,
    ) -> None:
        super().__init__()
        if size % patch or width % heads or width % 4:
            raise ValueError(
                f"DiT: size {size} must be a multiple of patch {patch}, width {width} of heads {heads} and of 4"
            )
        self.outputs, self.patch, self.side = channels if outputs is None else outputs, patch, size // patch
        self.classes = classes
        self.embed = nn.Conv2d(channels, width, patch, stride=patch)
        self.register_buffer("positions", grid_positions(self.side, width))
        self.time = TimeEmbedding(256, width)
        self.label = nn.Embedding(classes + 1, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.last = nn.Linear(width, patch * patch * self.outputs)
        initialize(self)

    def forward(self, x, t, label=None):
        """x (N, channels, size, size), t (N,), label (N,) integers -> (N, outputs, size, size)"""
        label = t * 0 + self.classes if label is None else label
        condition = self.time(t.to(x.dtype)) + self.label(label)  # (N, width)
        tokens = self.embed(x).flatten(2).transpose(1, 2) + self.positions  # (N, side², width)
        for block in self.blocks:
            tokens = block(tokens, condition)
        shift, scale = self.modulation(condition).unsqueeze(1).chunk(2, 2)
        return self.image(self.last(modulate(self.norm(tokens), shift, scale)))

    def image(self, tokens):
        """Put the patches side by side.  (N, side², patch² outputs) -> (N, outputs, size, size)"""
        s, p = self.side, self.patch
        grid = tokens.reshape(-1, s, s, p, p, self.outputs)  # row and column of the patch, then in the patch
        return grid.permute(0, 5, 1, 3, 2, 4).reshape(-1, self.outputs, s * p, s * p)


class Block(nn.Module):
    """Attention among the tokens, then an MLP on each; each has an adaptive norm before it and a gate after it.

    The gates start at 0: at first the block is the identity.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.norm1 = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )

    def forward(self, x, condition):
        """x (N, T, width), condition (N, width) -> (N, T, width)"""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition).unsqueeze(1).chunk(6, 2)
        x = x + gate1 * self.attend(modulate(self.norm1(x), shift1, scale1))
        return x + gate2 * self.mlp(modulate(self.norm2(x), shift2, scale2))

    def attend(self, x):
        """(N, T, width) -> (N, T, width)"""
        n, tokens, width = x.shape
        qkv = self.qkv(x).reshape(n, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (N, heads, T, width / heads)
        h = F.scaled_dot_product_attention(q, k, v)
        return self.out(h.transpose(1, 2).reshape(x.shape))


def modulate(x, shift, scale):
    """Scale and shift of a norm, set by the condition.  x (N, T, width), shift and scale (N, 1, width)"""
    return x * (1 + scale) + shift


def grid_positions(side: int, width: int):
    """Sinusoids of a token's row, then of its column.  -> (side², width)"""
    rows = sinusoidal_embedding(arange(side), width // 2)
    row = rows.unsqueeze(1).expand(side, side, width // 2)
    column = rows.unsqueeze(0).expand(side, side, width // 2)
    return cat([row, column], 2).flatten(0, 1)


def initialize(net: DiT) -> None:
    """As in the authors' code: linear layers Xavier-uniform, embeddings N(0, 0.02²), modulations and last layer 0."""
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    nn.init.xavier_uniform_(net.embed.weight.view(len(net.embed.weight), -1))  # a linear map of the patch
    nn.init.zeros_(net.embed.bias)
    for weight in net.label.weight, net.time.net[0].weight, net.time.net[2].weight:
        nn.init.normal_(weight, std=0.02)
    for layer in [block.modulation[1] for block in net.blocks] + [net.modulation[1], net.last]:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
