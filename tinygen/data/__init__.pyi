"""Written by `python -m tinygen.face.stubs`: change the source and run it again."""

from tinygen.data.batches import batch_indices as batch_indices
from tinygen.data.batches import binarize as binarize
from tinygen.data.batches import epoch_order as epoch_order
from tinygen.data.data_error import DataError as DataError
from tinygen.data.datasets import DATASETS as DATASETS
from tinygen.data.datasets import Dataset as Dataset
from tinygen.data.datasets import load as load
from tinygen.data.feed import Feed as Feed
from tinygen.data.fetch import cache_dir as cache_dir
from tinygen.data.toys import TOYS as TOYS
from tinygen.data.toys import toy as toy
from tinygen.data.toys import toy_centers as toy_centers
