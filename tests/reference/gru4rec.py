"""Writes gru4rec.json: a tiny GRU4Rec in PyTorch with its states, loss and gradients.

Usage: python gru4rec.py > gru4rec.json    (pip install torch)
"""
import json
import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(7)
ITEMS, DIM, LAYERS = 7, 4, 2
HISTORIES = [[3, 1, 7, 2], [5], [2, 2, 6]]
TARGETS = [4, 1, 7]

embedding = nn.Embedding(ITEMS + 1, DIM, padding_idx=0)
gru = nn.GRU(DIM, DIM, LAYERS, batch_first=True)
lengths = torch.tensor([len(h) for h in HISTORIES])
items = torch.zeros(len(HISTORIES), int(lengths.max()), dtype=torch.long)
for row, history in enumerate(HISTORIES):
    items[row, : len(history)] = torch.tensor(history)
states = gru(embedding(items))[0]
users = states[torch.arange(len(HISTORIES)), lengths - 1]
# Padding takes no part in the softmax.
loss = F.cross_entropy(users @ embedding.weight[1:].T, torch.tensor(TARGETS) - 1)
loss.backward()

flat = lambda tensor: [round(value, 8) for value in tensor.detach().flatten().tolist()]
layer = lambda of, n: {
    # Transposed to [inputs, gates]; PyTorch's gates are in the order reset, update, new as well.
    "weight_input": flat(of(getattr(gru, f"weight_ih_l{n}")).T),
    "weight_hidden": flat(of(getattr(gru, f"weight_hh_l{n}")).T),
    "bias_input": flat(of(getattr(gru, f"bias_ih_l{n}"))),
    "bias_hidden": flat(of(getattr(gru, f"bias_hh_l{n}"))),
}
print(json.dumps({
    "items": ITEMS, "dim": DIM, "histories": HISTORIES, "targets": TARGETS,
    "embedding": flat(embedding.weight), "layers": [layer(lambda p: p, n) for n in range(LAYERS)],
    "users": flat(users), "loss": round(loss.item(), 8),
    "embedding_gradient": flat(embedding.weight.grad),
    "layer_gradients": [layer(lambda p: p.grad, n) for n in range(LAYERS)],
}, indent=1))
