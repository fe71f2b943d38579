"""The compiled loops of `readable.py`: why the order of three loops decides the speed."""

from tinygen.kernels.runtime.njit import njit

TILE = 64  # three tiles of 64 x 64 float32 take 48 KB and fit in the L2 cache


@njit(cache=True, error_model="numpy")
def naive(x, w, out):
    """out[i, j] = Σ_k x[i, k] w[k, j], one after another.  x (M, K), w (K, N), out (M, N)

    Each element of out reads a column of w, in steps of a whole row: of every 64 bytes that come from memory, 4 are
    used.
    """
    M, K = x.shape
    for i in range(M):
        for j in range(w.shape[1]):
            total = x.dtype.type(0)
            for k in range(K):
                total += x[i, k] * w[k, j]
            out[i, j] = total


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
def tiled(x, w, out):
    """The same sums in tiles, with the innermost loop along rows of w and out.  x (M, K), w (K, N), out (M, N), zeros

    x[i, k] times a stretch of row k of w is added to a stretch of row i of out: neighbors in memory, 8 or 16 at once.
    A tile of w serves all rows of x while it is in the cache.
    """
    M, K = x.shape
    N = w.shape[1]
    for start in range(0, K, TILE):
        for left in range(0, N, TILE):
            for i in range(M):
                to = out[i, left : left + TILE]
                for k in range(start, min(start + TILE, K)):
                    a, row = x[i, k], w[k, left : left + TILE]
                    for j in range(to.size):
                        to[j] += a * row[j]
