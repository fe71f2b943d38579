"""Arrays in, arrays out: the arithmetic below the autograd. Never sees a Tensor."""
