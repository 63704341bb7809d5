"""Writes checkpoints of tiny models as PyTorch's users save them, and what the models answer, for tests/models/torch.rs.

    python tests/reference/torch_checkpoints.py tests/reference/torch

The modules have the names and shapes of what they stand for: `authors` of hidasib/GRU4Rec_PyTorch_Official, `recbole` of
RecBole's GRU4Rec, `plain` of what people write themselves.
"""
import json
import sys

import torch
from safetensors.torch import save_file
from torch import nn

torch.manual_seed(3)
ITEMS, FOLDER = 7, sys.argv[1]
HISTORIES = [[3, 1, 4], [5], [2, 6, 5, 3, 7]]


def shake(module):
    """Weights that no initialization has: none is 0, so that none can be forgotten."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


class OneHotGru(nn.Module):
    def __init__(self, items, hidden):
        super().__init__()
        self.Wx0 = nn.Embedding(items, 3 * hidden)
        self.Wh0 = nn.Parameter(torch.zeros(hidden, 3 * hidden))
        self.Bh0 = nn.Parameter(torch.zeros(3 * hidden))

    def forward(self, item, state):
        new_x, reset_x, update_x = (self.Wx0(item) + self.Bh0).chunk(3, 1)
        new_h, reset_h, update_h = (state @ self.Wh0).chunk(3, 1)
        update = torch.sigmoid(update_x + update_h)
        new = torch.tanh(torch.sigmoid(reset_x + reset_h) * new_h + new_x)
        return (1 - update) * state + update * new


class Authors(nn.Module):
    """Rows of its tables are items, without padding."""

    def __init__(self, layers, embedding=0, constrained=True):
        super().__init__()
        self.sizes, self.first = layers, 0
        inputs = layers[-1]
        if not constrained and embedding:
            self.E, inputs = nn.Embedding(ITEMS, embedding), embedding
        elif not constrained:
            self.GE, self.first = OneHotGru(ITEMS, layers[0]), 1
        sizes = [inputs] + layers
        self.G = nn.ModuleList(nn.GRUCell(sizes[i], sizes[i + 1]) for i in range(self.first, len(layers)))
        self.Wy, self.By = nn.Embedding(ITEMS, layers[-1]), nn.Embedding(ITEMS, 1)

    def scores(self, history):
        states = [torch.zeros(1, size) for size in self.sizes]
        for item in history:
            item = torch.tensor([item - 1])
            if self.first:
                x = states[0] = self.GE(item, states[0])
            else:
                x = self.E(item) if hasattr(self, "E") else self.Wy(item)
            for i, cell in enumerate(self.G, self.first):
                x = states[i] = cell(x, states[i])
        return (x @ self.Wy.weight.T + self.By.weight.T)[0]


class RecBole(nn.Module):
    def __init__(self):
        super().__init__()
        self.item_embedding = nn.Embedding(ITEMS + 1, 4, padding_idx=0)
        self.gru_layers = nn.GRU(4, 6, 2, bias=False, batch_first=True)
        self.dense = nn.Linear(6, 4)

    def scores(self, history):
        states, _ = self.gru_layers(self.item_embedding(torch.tensor([history])))
        return (self.dense(states[:, -1]) @ self.item_embedding.weight[1:].T)[0]


class PlainGru(nn.Module):
    def __init__(self, dense=False):
        super().__init__()
        self.last = nn.Linear(5, 5) if dense else nn.Identity()
        self.item, self.gru = nn.Embedding(ITEMS + 1, 5, padding_idx=0), nn.GRU(5, 5, batch_first=True)

    def scores(self, history):
        return (self.last(self.gru(self.item(torch.tensor([history])))[0][:, -1]) @ self.item.weight[1:].T)[0]


class PlainSasRec(nn.Module):
    def __init__(self, scaled):
        super().__init__()
        self.item, self.position, self.scaled = nn.Embedding(ITEMS + 1, 4, padding_idx=0), nn.Embedding(6, 4), scaled
        layer = nn.TransformerEncoderLayer(4, 2, 8, activation="gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(4), enable_nested_tensor=False)

    def scores(self, history):
        x = self.item(torch.tensor([history])) * (2.0 if self.scaled else 1.0) + self.position.weight[: len(history)]
        mask = nn.Transformer.generate_square_subsequent_mask(len(history))
        return (self.encoder(x, mask=mask, is_causal=True)[:, -1] @ self.item.weight[1:].T)[0]


models = {
    "authors_shared": Authors([4]),
    "authors_separate": Authors([5, 3], embedding=4, constrained=False),
    "authors_one_hot": Authors([3, 4], constrained=False),
    "recbole": RecBole(),
    "plain_gru": PlainGru(),
    "dense_gru": PlainGru(dense=True),
    "plain_sasrec": PlainSasRec(False),
    "scaled_sasrec": PlainSasRec(True),
}
answers = {}
for name, model in models.items():
    shake(model).eval()
    with torch.no_grad():
        answers[name] = [model.scores(history).tolist() for history in HISTORIES]
    save_file(model.state_dict(), f"{FOLDER}/{name}.safetensors")
torch.save(models["plain_gru"].state_dict(), f"{FOLDER}/plain_gru.pt")
# Numbers of other sizes; PyTorch writes each tensor's values in order, however they lay in memory.
mixed = dict(models["plain_gru"].state_dict())
mixed["gru.bias_ih_l0"] = mixed["gru.bias_ih_l0"].double()
save_file(mixed, f"{FOLDER}/plain_gru_mixed.safetensors")
with open(f"{FOLDER}/answers.json", "w") as file:
    json.dump({"histories": HISTORIES, "scores": answers}, file)
