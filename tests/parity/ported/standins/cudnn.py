"""In place of torch.backends.cudnn: settings of a library that tinygen does not use, written and never read."""

enabled = benchmark = deterministic = False
