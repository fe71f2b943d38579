"""Replaces torch.utils.data: the order of the batches depends only on the seed and the epoch."""

import numpy as np

from tinygen.data.batches import epoch_order

from . import options


class Dataset:
    """Base class of datasets, which define `__getitem__` and `__len__`."""


class TensorDataset(Dataset):
    """The i-th of each of several arrays or Tensors"""

    def __init__(self, *tensors) -> None:
        self.tensors = tensors

    def __getitem__(self, index):
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])


class DataLoader:
    """Iterates over batches, lists of stacked columns; num_workers and pin_memory have no effect"""

    def __init__(
        self, dataset, batch_size=1, shuffle=False, num_workers=0, pin_memory=False, drop_last=False
    ) -> None:
        self.dataset, self.batch_size = dataset, batch_size
        self.shuffle, self.drop_last, self.epoch = shuffle, drop_last, 0

    def __len__(self) -> int:
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self):
        n = len(self.dataset)
        order = epoch_order(n, options["seed"], self.epoch) if self.shuffle else np.arange(n)
        self.epoch += 1
        for batch in range(len(self)):
            chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield [_stack(column) for column in zip(*(self.dataset[int(i)] for i in chosen))]


def _stack(column):
    from . import library

    batch = np.stack([np.asarray(value) for value in column])
    dtype = library.get_default_dtype() if batch.dtype.kind == "f" else None
    return library.tensor(batch, dtype=dtype)
