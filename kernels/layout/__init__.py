"""Views of memory: which elements two views share, and copying elements out of a stretch of memory and back.

reference.py   all of it, in NumPy or cupy
"""

from tinygen.kernels.layout.reference import Layout, common_layout, lay, pick
