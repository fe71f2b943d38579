"""Nothing is recorded."""

import tinygen

y = tinygen.ones(3) * 2
