"""Packing: the discriminator judges several images at once.  Lin et al. 2017, arXiv 1712.04086."""

from tinygen.run.flags import FlagError


def packed(x, m: int):
    """Stack m images each, so that the discriminator sees when they are all alike.

    x (N, C, H, W) -> (N/m, m C, H, W); (N, D) -> (N/m, m D)
    """
    if len(x) % m:
        raise FlagError(f"--packing: {m} does not divide the batch of {len(x)}")
    return x if m == 1 else x.reshape(len(x) // m, m * x.shape[1], *x.shape[2:])
