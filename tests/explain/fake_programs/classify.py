"""A network and its loss, with a backward: the graph outlives what it kept."""

import tinygen as torch
import tinygen.nn as nn
import tinygen.nn.functional as F

net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
x = torch.randn(5, 4)
target = torch.randint(3, (5,))
loss = F.cross_entropy(net(x), target)
loss.backward()
print("loss", loss.item())
