"""Views of memory: which elements two views share, and copying elements out of a stretch of memory and back.

reference.py   views: in NumPy or cupy
collect.py     the numbers of many small arrays in one; cuda.py: in one launch (layout.cu)
"""

from tinygen.kernels.layout.collect import collect
from tinygen.kernels.layout.reference import Layout, common_layout, lay, pick
