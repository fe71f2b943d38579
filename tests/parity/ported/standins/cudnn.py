"""Replaces torch.backends.cudnn: settings of a library that tinygen does not use; they have no effect."""

enabled = benchmark = deterministic = False
