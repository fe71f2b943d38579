"""U-Net of DDPM: what noise is in this image?  Ho et al. 2020, arXiv 2006.11239, appendix B.

Convolutional blocks at three resolutions.  The blocks on the way up also see the outputs of those on the way down, and
every block is told the time.
"""

from __future__ import annotations

from tinygen import cat, nn
from tinygen.models.networks.embeddings import TimeEmbedding
from tinygen.nn import functional as F


class UNet(nn.Module):
    """x_t, t, label -> the noise in x_t (section 3.2).

    multipliers: one level for each, with `width` times this many channels and half the sides of the level before
    attention: for each level, whether its blocks attend
    The paper's CIFAR10 network has width 128, multipliers (1, 2, 2, 2), attention at the second level, 32 groups and
    dropout 0.1; 8 groups of a width of 32 also have 4 channels each.
    stem: squares of stem x stem pixels become the channels of one pixel, which is stem² times less work
    classes: number of labels, which are added like the time, the label `classes` for "no class" (classifier-free
    guidance); 0 for a network without labels
    outputs: output channels, by default as many as `channels`
    """

    def __init__(
        self,
        channels: int = 1,
        width: int = 32,
        multipliers: tuple[int, ...] = (1, 2, 2),
        attention: tuple[bool, ...] = (False, True, False),
        blocks: int = 2,
        groups: int = 8,
        dropout: float = 0.0,
        stem: int = 1,
        classes: int = 0,
        outputs: int | None = None,
    ) -> None:
        super().__init__()
        outputs = channels if outputs is None else outputs
        if len(attention) != len(multipliers):
            raise ValueError(
                f"UNet: {len(multipliers)} multipliers {multipliers} and {len(attention)} of attention {attention}"
            )
        if width % groups:
            raise ValueError(f"UNet: width {width} must be a multiple of its {groups} groups")
        block = {"time_width": 4 * width, "groups": groups, "dropout": dropout}
        widths = [width * m for m in multipliers]
        levels = range(len(widths))
        self.stem, self.classes, self.halvings = stem, classes, levels[-1]
        self.time = TimeEmbedding(width, 4 * width)
        self.label = nn.Embedding(classes + 1, 4 * width) if classes else None
        self.first = nn.Conv2d(stem * stem * channels, width, 3, padding=1)

        skips, here = [width], width  # channels of the outputs that the way up will see
        self.down = nn.ModuleList()
        for level in levels:
            downsample = level < levels[-1]
            self.down.append(
                Down(here, widths[level], blocks, downsample, attention=attention[level], **block)
            )
            here = widths[level]
            skips += [here] * (blocks + downsample)
        self.middle = nn.ModuleList(
            ResidualBlock(here, here, attention=attends, **block) for attends in (True, False)
        )
        self.up = nn.ModuleList()
        for level in reversed(levels):
            seen = [skips.pop() for _ in range(blocks + 1)]
            self.up.append(Up(here, widths[level], seen, level > 0, attention=attention[level], **block))
            here = widths[level]
        self.last = nn.Sequential(
            nn.GroupNorm(groups, here, eps=1e-6),
            nn.SiLU(),
            nn.Conv2d(here, stem * stem * outputs, 3, padding=1),
        )
        self.apply(initialize)
        nn.init.zeros_(self.last[-1].weight)

    def forward(self, x, t, label=None):
        """x (N, channels, H, W), t (N,), label (N,) integers, None for no class -> (N, outputs, H, W)

        H and W must be divisible by stem · 2^(levels - 1).
        """
        multiple = self.stem * 2**self.halvings
        if x.shape[2] % multiple or x.shape[3] % multiple:
            raise ValueError(
                f"UNet: found images of {x.shape[2]} x {x.shape[3]}, expected multiples of {multiple}: they are "
                f"halved {self.halvings} times after a stem of {self.stem}"
            )
        time = self.time(t.to(x.dtype))
        if self.label is not None:
            time = time + self.label(t * 0 + self.classes if label is None else label)
        time = F.silu(time)  # what every block begins with
        skips = [self.first(F.pixel_unshuffle(x, self.stem))]
        for level in self.down:
            skips += level(skips[-1], time)
        h = skips[-1]
        for block in self.middle:
            h = block(h, time)
        for level in self.up:
            h = level(h, time, skips)
        norm, _, convolution = self.last
        return F.pixel_shuffle(convolution(norm_silu(norm, h)), self.stem)


class Down(nn.Module):
    """One level on the way down: its blocks, then a convolution of stride 2."""

    def __init__(self, before: int, width: int, blocks: int, downsample: bool, **block) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            ResidualBlock(w, width, **block) for w in [before] + [width] * (blocks - 1)
        )
        self.downsample = nn.Conv2d(width, width, 3, stride=2, padding=1) if downsample else None

    def forward(self, x, time):
        """x (N, before, H, W) -> the outputs of all parts, the last one (N, width, H/2, W/2)"""
        outputs = []
        for block in self.blocks:
            x = block(x, time)
            outputs.append(x)
        return outputs if self.downsample is None else [*outputs, self.downsample(x)]


class Up(nn.Module):
    """One level on the way up: blocks, each of which also sees an output of the way down; then twice the sides."""

    def __init__(self, before: int, width: int, skips: list[int], upsample: bool, **block) -> None:
        super().__init__()
        inputs = [before] + [width] * (len(skips) - 1)
        self.blocks = nn.ModuleList(ResidualBlock(w + s, width, **block) for w, s in zip(inputs, skips))
        self.upsample = nn.Conv2d(width, width, 3, padding=1) if upsample else None

    def forward(self, x, time, skips):
        """x (N, before, H, W) -> (N, width, 2H, 2W); pops the skips of its blocks off the list"""
        for block in self.blocks:
            x = block(cat([x, skips.pop()], 1), time)
        return x if self.upsample is None else self.upsample(F.interpolate(x, scale_factor=2, mode="nearest"))


class ResidualBlock(nn.Module):
    """x + conv(norm(conv(norm(x)) + time)) with SiLU after every norm, then attention if asked for.

    The second convolution starts at 0: at first the block is its shortcut.
    """

    def __init__(
        self, before: int, width: int, time_width: int, groups: int, dropout: float, attention: bool
    ) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, before, eps=1e-6)
        self.conv1 = nn.Conv2d(before, width, 3, padding=1)
        self.time = nn.Linear(time_width, width)
        self.norm2 = nn.GroupNorm(groups, width, eps=1e-6)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.shortcut = nn.Identity() if before == width else nn.Conv2d(before, width, 1)
        self.attention = SelfAttention(width, groups) if attention else nn.Identity()

    def forward(self, x, time):
        """x (N, before, H, W), time (N, time_width), after SiLU -> (N, width, H, W)"""
        h = self.conv1(norm_silu(self.norm1, x))
        h = h + self.time(time).unsqueeze(2).unsqueeze(3)
        h = self.conv2(self.dropout(norm_silu(self.norm2, h)))
        return self.attention(self.shortcut(x) + h)


def norm_silu(norm, x):
    """silu(norm(x)) for a GroupNorm, as one operation."""
    return F.group_norm_silu(x, norm.num_groups, norm.weight, norm.bias, norm.eps)


class SelfAttention(nn.Module):
    """Every pixel attends to every pixel, with one head; the last convolution starts at 0.  (N, C, H, W) -> the same"""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.query, self.key, self.value, self.out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (f(h).flatten(2).transpose(1, 2) for f in (self.query, self.key, self.value))  # (N, HW, C)
        h = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(h.transpose(1, 2).reshape(x.shape))


def initialize(module) -> None:
    """As the authors' code: weights uniform in ±sqrt(6 / (fan_in + fan_out)), biases and last weights of blocks 0."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, ResidualBlock):  # `apply` visits a module after its children
        nn.init.zeros_(module.conv2.weight)
    elif isinstance(module, SelfAttention):
        nn.init.zeros_(module.out.weight)
