"""What the GAN papers share."""
