"""Data for training: data sets, the loader, transforms, readers of files, and small real data sets.

>>> import jitrench_core as jt
>>> import jitrench_nn as nn
>>> examples = nn.data.ArrayDataset(jt.zeros((100, 3)), jt.arange(100))
>>> train, test = nn.data.random_split(examples, [0.8, 0.2], seed=0)
>>> x, y = next(iter(nn.data.DataLoader(train, batch_size=16, shuffle=True)))
>>> x.shape, y.shape
((16, 3), (16,))
"""

from . import transforms
from .datasets import ArrayDataset, ConcatDataset, DataError, Dataset, MapDataset, Subset, collate, random_split
from .loader import DataLoader
from .readers import read_csv, read_idx, read_npz, write_idx
from .samples import Sample, breast_cancer, diabetes, digits, iris, mnist_5k, wine

__all__ = [
    "ArrayDataset",
    "ConcatDataset",
    "DataError",
    "DataLoader",
    "Dataset",
    "MapDataset",
    "Sample",
    "Subset",
    "breast_cancer",
    "collate",
    "diabetes",
    "digits",
    "iris",
    "mnist_5k",
    "random_split",
    "read_csv",
    "read_idx",
    "read_npz",
    "transforms",
    "wine",
    "write_idx",
]

# The data sets that are found by name: all that are made of plain options alone.
NAMED = (breast_cancer, diabetes, digits, iris, mnist_5k, wine, read_csv, read_idx, read_npz)
