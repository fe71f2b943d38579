"""Datasets by name, checked before use; batches and binarization as functions of (seed, step).

    toys         points in the plane
    glyphs       digits drawn from fonts
    idx, cifar   file formats
    fetch        where datasets are stored and downloaded from
    datasets     load: images and labels by name
    batches      which images a step sees
    feed         those images on the device that trains

This room is above run and random, and below metrics.
"""

from tinygen.data.batches import batch_indices, binarize, epoch_order
from tinygen.data.data_error import DataError
from tinygen.data.datasets import DATASETS, Dataset, load
from tinygen.data.feed import Feed
from tinygen.data.fetch import cache_dir
from tinygen.data.toys import TOYS, toy, toy_centers

__all__ = [
    "DATASETS",
    "TOYS",
    "DataError",
    "Dataset",
    "Feed",
    "batch_indices",
    "binarize",
    "cache_dir",
    "epoch_order",
    "load",
    "toy",
    "toy_centers",
]
