"""The compiled loops of `planes.py`.  Importing this file imports numba (0.5 s)."""

import numpy as np

from tinygen.kernels.conv2d.taps_loops import copy, padded_images
from tinygen.kernels.runtime.njit import njit
from tinygen.kernels.runtime.with_numba import prange


@njit(cache=True, nogil=True)
def add(weight, source, target):
    """target += weight source"""
    for i in range(target.size):
        target[i] += weight * source[i]


PIECE = 64  # products added one after another before their sum joins the others


@njit(cache=True, nogil=True, fastmath={"reassoc"})
def dot(a, b):
    """The sum of a b, in as many partial sums as a register has lanes."""
    total = a[0] * b[0]
    for i in range(1, a.size):
        total += a[i] * b[i]
    return total


@njit(cache=True, nogil=True)
def spaced(gy, columns, stride, run):
    """gy (P, Q) -> run, flat: (p, q) at p stride[0] columns + q stride[1], zeros elsewhere."""
    run[:] = 0
    for p in range(gy.shape[0]):
        for q in range(gy.shape[1]):
            run[p * stride[0] * columns + q * stride[1]] = gy[p, q]


@njit(cache=True, nogil=True)
def length(positions, columns, stride):
    """The length of a run from the first position to the last."""
    return (positions[0] - 1) * stride[0] * columns + (positions[1] - 1) * stride[1] + 1


@njit(cache=True, parallel=True)
def correlate(x, w, groups, corner, size, stride, offsets, y):
    """y from x, one image at a time."""
    (N, K, P, Q), per, plane = y.shape, w.shape[1], size[0] * size[1]
    taps = w.reshape(K, -1)
    for n in prange(N):
        image = padded_images(x, n, 1, corner, size)
        sums = np.empty(length((P, Q), size[1], stride), x.dtype)
        for k in range(K):
            sums[:] = 0
            first = k // (K // groups) * per
            terms = per * offsets.size
            piece = sums if terms <= PIECE else np.empty_like(sums)
            for start in range(0, terms, PIECE):
                piece[:] = 0
                for l in range(start, min(start + PIECE, terms)):
                    at = (first + l // offsets.size) * plane + offsets[l % offsets.size]
                    add(taps[k, l], image[at : at + sums.size], piece)
                if terms > PIECE:
                    add(1, piece, sums)
            for p in range(P):
                for q in range(Q):
                    y[n, k, p, q] = sums[p * stride[0] * size[1] + q * stride[1]]


@njit(cache=True, parallel=True)
def add_input_gradient(gy, w, groups, corner, size, stride, offsets, gx):
    """gx from gy, one image at a time."""
    (N, C, H, W), K, plane = gx.shape, len(w), size[0] * size[1]
    per, columns, taps = C // groups, size[1], w.reshape(K, -1)
    for n in prange(N):
        sums = np.zeros(C * plane, gy.dtype)
        run = np.empty(length(gy.shape[2:], columns, stride), gy.dtype)
        together = max(1, PIECE // offsets.size)  # channels k whose products make up one piece
        piece = sums if K <= together * groups else np.zeros_like(sums)
        for k in range(K):
            spaced(gy[n, k], columns, stride, run)
            first = k // (K // groups) * per
            for l in range(per * offsets.size):
                at = (first + l // offsets.size) * plane + offsets[l % offsets.size]
                add(taps[k, l], run, piece[at : at + run.size])
            if K > together * groups and (k % together == together - 1 or k == K - 1):
                add(1, piece, sums)
                piece[:] = 0
        for c in range(C):
            for h in range(H):
                at = c * plane + (h + corner[0]) * columns + corner[1]
                copy(sums[at : at + W], gx[n, c, h])


@njit(cache=True, parallel=True)
def correlate_with_gradient(x, gy, groups, corner, size, stride, offsets, gw):
    """gw[chunk] from x and gy of the images in that chunk of the batch."""
    (N, K, P, Q), (chunks, _, per) = gy.shape, gw.shape[:3]
    plane = size[0] * size[1]
    sums = gw.reshape(chunks, K, -1)
    for chunk in prange(chunks):
        run = np.empty(length((P, Q), size[1], stride), x.dtype)
        for n in range(N * chunk // chunks, N * (chunk + 1) // chunks):
            image = padded_images(x, n, 1, corner, size)
            for k in range(K):
                spaced(gy[n, k], size[1], stride, run)
                first = k // (K // groups) * per
                for l in range(per * offsets.size):
                    at = (first + l // offsets.size) * plane + offsets[l % offsets.size]
                    sums[chunk, k, l] += dot(run, image[at : at + run.size])
