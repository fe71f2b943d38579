"""Replaces torchvision.datasets: MNIST and similar sets, read by `tinygen.data`, one PIL image at a time."""

from PIL import Image  # comes with matplotlib

from tinygen.data import load

from . import options
from .data import Dataset


class MNIST(Dataset):
    """Items (image, label); `root` and `download` have no effect, run.py sets the dataset and how much of it to use"""

    def __init__(self, root=None, train=True, transform=None, target_transform=None, download=False) -> None:
        split, most = "train" if train else "test", options["items"]
        found = load(options["data"])
        self.data = getattr(found, f"{split}_images")[:most]
        self.targets = getattr(found, f"{split}_labels")[:most]
        self.transform, self.target_transform = transform, target_transform

    def __getitem__(self, index):
        image, label = Image.fromarray(self.data[index]), int(self.targets[index])
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return image, label

    def __len__(self) -> int:
        return len(self.data)


def __getattr__(name: str):
    if name.startswith("__"):  # the import system asks modules for these
        raise AttributeError(name)
    raise NotImplementedError(f"datasets.{name} has no stand-in; use MNIST")
