"""Convolution, pooling and resizing of images and sequences."""
