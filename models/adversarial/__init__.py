"""What the GAN papers share: losses, packing, the watch over training, images from a trained generator.

Not the training loops: each paper's `train` shows its own.
"""
