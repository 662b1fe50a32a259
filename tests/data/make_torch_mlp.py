"""Writes torch_mlp.safetensors, a float32 state dict as PyTorch's users have it, and torch_mlp_reference.json, what it computes.

Run by hand where PyTorch and safetensors are installed (made with 2.13.0): ``python tests/data/make_torch_mlp.py``. The outputs are
those of the model in float64; tests/test_weights.py loads the file into models of both kinds and compares.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

HERE = Path(__file__).parent


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.bn, self.fc2 = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 4)
        self.rnn = nn.GRU(4, 3, batch_first=True, bidirectional=True)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x):
        x = self.fc2(torch.relu(self.bn(self.fc1(x))))
        y, _ = self.rnn(x[None])
        return self.attention(y, y, y)[0][0]


torch.manual_seed(0)
net = Net()
for _ in range(3):  # running statistics that are not the first ones
    net(torch.randn(8, 4))
save_file(net.state_dict(), HERE / "torch_mlp.safetensors")
net.double().eval()
x = torch.randn(5, 4, dtype=torch.float64)
with torch.no_grad():
    hidden = net.fc2(torch.relu(net.bn(net.fc1(x))))
    reference = {"x": x.tolist(), "mlp": hidden.tolist(), "y": net(x).tolist()}
(HERE / "torch_mlp_reference.json").write_text(json.dumps(reference, indent=1) + "\n")
