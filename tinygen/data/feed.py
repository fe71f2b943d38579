"""The examples of each step on the device that trains; the host never waits for a GPU, nor a GPU for the host.

    feed = Feed(images, labels, batch=64, seed=0, device=run.device)
    images, labels = feed.at(step)

On a CPU they are gathered in NumPy.  A data set that takes a small part of a GPU's memory is copied there once, and
gathered there.  From a larger one, the next step's examples are gathered into pinned memory, and copied while this
step computes.  They are the same on each way.
"""

from __future__ import annotations

import numpy as np

from tinygen.data.batches import batch_indices, epoch_order
from tinygen.engine import devices
from tinygen.kernels.runtime.uploads import Upload, Uploads, fits

SHARE = 0.25  # of the free memory that a data set may take


class Feed:
    """Arrays of equal length, from which every step takes `batch` examples, in the order of `batch_indices`."""

    def __init__(self, *arrays: np.ndarray, batch: int, seed: int, device) -> None:
        self.arrays, self.batch, self.seed = arrays, batch, seed
        self.indices(0)  # raises an error if the batch is too large
        if devices.checked(device) is devices.CPU:
            self._at = self._on_cpu
        elif fits(sum(array.nbytes for array in arrays), SHARE):
            self._at = _Resident(self, devices.module(device)).at
        else:
            self._at = _Ahead(self).at

    def at(self, step: int) -> list:
        """The examples of a step, a new array for each array of the data set, on the device."""
        return self._at(step)

    def indices(self, step: int) -> np.ndarray:
        return batch_indices(len(self.arrays[0]), self.batch, self.seed, step)

    def _on_cpu(self, step: int) -> list[np.ndarray]:
        chosen = self.indices(step)
        return [array[chosen] for array in self.arrays]


class _Resident:
    """The data set and the order of an epoch lie on the GPU: a step copies nothing."""

    def __init__(self, feed: Feed, xp) -> None:
        self.feed, self.xp, self.epoch = feed, xp, None
        self.arrays = [xp.asarray(array) for array in feed.arrays]

    def at(self, step: int) -> list:
        n, batch = len(self.feed.arrays[0]), self.feed.batch
        epoch, place = divmod(step, n // batch)
        if epoch != self.epoch:
            self.epoch, self.order = epoch, self.xp.asarray(epoch_order(n, self.feed.seed, epoch))
        chosen = self.order[place * batch : (place + 1) * batch]
        return [array.take(chosen, axis=0) for array in self.arrays]


class _Ahead:
    """The examples of a step were copied during the step before."""

    def __init__(self, feed: Feed) -> None:
        self.feed, self.uploads = feed, Uploads()
        self.shapes = [((feed.batch, *array.shape[1:]), array.dtype) for array in feed.arrays]
        self.prepared: tuple[int, Upload] | None = None

    def at(self, step: int) -> list:
        ready = self.prepared is not None and self.prepared[0] == step
        arrays = (self.prepared[1] if ready else self._start(step)).arrays()
        self.prepared = step + 1, self._start(step + 1)
        return arrays

    def _start(self, step: int) -> Upload:
        chosen = self.feed.indices(step)

        def gather(pinned: list[np.ndarray]) -> None:
            for array, out in zip(self.feed.arrays, pinned):
                np.take(array, chosen, axis=0, out=out, mode="clip")  # "raise" would buffer `out`

        return self.uploads.start(self.shapes, gather)
