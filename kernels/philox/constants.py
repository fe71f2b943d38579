"""The constants of Philox4x32-10 and of the conversions, shared by NumPy's code and the compiled loops."""

from math import factorial, pi

MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
KEY_STEPS = 0x9E3779B9, 0xBB67AE85  # golden ratio, sqrt(3) - 1
ROUNDS = 10
LOW = 0xFFFFFFFF  # the lower 32 bits

SMALL = 256  # words; up to here NumPy is done before numba could be imported

ANGLE = 2 * pi * 2.0**-32  # of one unit of a 32-bit turn
SERIES = tuple(
    ((-1) ** k / factorial(2 * k), (-1) ** k / factorial(2 * k + 1)) for k in range(8, -1, -1)
)  # cos, sin
