"""Copies to the GPU that run while it computes: from pinned memory, on a stream of their own, with events.

uploads = Uploads()
upload = uploads.start([((64, 784), np.uint8)], fill)  # fill([array]) writes what is to be copied
(images,) = upload.arrays()  # the GPU waits for the copy, the host does not
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from tinygen.kernels.runtime.cuda_device import cupy, errors_told
from tinygen.kernels.runtime.lazy_import import whole


class Uploads:
    """A stream, and pinned memory that is used again once its copy is done."""

    def __init__(self) -> None:
        with errors_told():
            self.stream = cupy().cuda.Stream(non_blocking=True)
        self._pinned: list = []  # (event after the copy, arrays)

    def start(self, shapes: list[tuple], fill) -> Upload:
        """Begin to copy arrays of these shapes and dtypes, which fill(arrays) writes.  The host waits for nothing."""
        with errors_told():
            host = self._unused(shapes)
            fill(host)
            current = cupy().cuda.get_current_stream()
            arrays = [cupy().empty(shape, dtype) for shape, dtype in shapes]
            # memory is freed when the last work that uses it is given to the current stream, maybe before it is done
            self.stream.wait_event(current.record())
            for array, source in zip(arrays, host):
                array.set(source, self.stream)
            done = self.stream.record()
        self._pinned.append((done, host))
        return Upload(arrays, done)

    def _unused(self, shapes: list[tuple]) -> list[np.ndarray]:
        """Pinned arrays that no copy reads any more."""
        for i, (event, arrays) in enumerate(self._pinned):
            if event.done and [(a.shape, a.dtype) for a in arrays] == [(s, np.dtype(d)) for s, d in shapes]:
                del self._pinned[i]
                return arrays
        empty_pinned = whole("cupyx").empty_pinned
        return [empty_pinned(shape, dtype) for shape, dtype in shapes]


class Upload:
    """Arrays on the GPU that are being written."""

    def __init__(self, arrays: list, done) -> None:
        self._arrays, self._done, self._taken = arrays, done, False

    def arrays(self) -> list:
        """The arrays, for work of the current stream, which waits for them."""
        cupy().cuda.get_current_stream().wait_event(self._done)
        self._taken = True
        return self._arrays

    def __del__(self) -> None:
        if not self._taken:  # their memory may be used again only after the copy
            with suppress(Exception):  # at the end of the process cupy may be gone
                self.arrays()


def fits(nbytes: int, share: float) -> bool:
    """Whether an array takes at most this share of the GPU's free memory."""
    with errors_told():
        free, _ = cupy().cuda.runtime.memGetInfo()
    return nbytes <= share * free
