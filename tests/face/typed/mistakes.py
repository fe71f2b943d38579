"""What a type checker must refuse; each line has one mistake."""

import tinygen as tg
from tinygen.nn import functional as F

tg.rndn(2, 3)
tg.randn(2, 3).summ()
tg.ones(2).sum("a")
F.reluu(tg.ones(2))
tg.ones(2).backward().sum()
