"""Writes family.json: tiny models and losses, computed by PyTorch, that tests/models/numbers.rs compares with.

    python tests/reference/family.py > tests/reference/family.json
"""
import json
import math

import torch
import torch.nn.functional as F

torch.manual_seed(1)
torch.set_default_dtype(torch.float64)
ITEMS, DIM, HEADS, MAX_LEN = 9, 4, 2, 5
HISTORIES = [[3, 1, 4], [5], [9, 2, 6, 5, 3]]
TIMES = [[0.0, 60.0, 4000.0], [7.0], [10.0, 10.0, 90000.0, 90001.5, 1e7]]
TARGETS = [1, 8, 5]


def draw(*shape, scale=0.6):
    return torch.randn(*shape) * scale


def linear(weights, name, inputs, outputs):
    weights[f"{name}.weight"] = draw(inputs, outputs)
    weights[f"{name}.bias"] = draw(outputs)


def norm(weights, name):
    weights[f"{name}.gamma"] = 1 + draw(DIM, scale=0.2)
    weights[f"{name}.beta"] = draw(DIM, scale=0.2)


def apply(weights, name, x):
    return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]


def normalize(weights, name, x):
    return F.layer_norm(x, (DIM,), weights[f"{name}.gamma"], weights[f"{name}.beta"], 1e-5)


def tables():
    weights = {"embedding": draw(ITEMS + 1, DIM)}
    weights["embedding"][0] = 0
    return weights


def softmax_loss(users, vectors):
    return F.cross_entropy(users @ vectors[1:].T, torch.tensor(TARGETS) - 1)


def split_heads(x):
    return x.reshape(len(x), HEADS, DIM // HEADS).transpose(0, 1)


def causal(length):
    return torch.ones(length, length).tril().bool()


def sasrec(gated, feed_forward):
    hidden = feed_forward * DIM
    weights = {f"ends.{name}": table for name, table in tables().items()}
    weights["ends.positions"] = draw(MAX_LEN, DIM)
    for block in ["blocks.0", "blocks.1"]:
        norm(weights, f"{block}.attention_norm")
        linear(weights, f"{block}.attention_in", DIM, 3 * DIM)
        linear(weights, f"{block}.attention_out", DIM, DIM)
        norm(weights, f"{block}.feed_norm")
        linear(weights, f"{block}.feed_in", DIM, 2 * hidden if gated else hidden)
        linear(weights, f"{block}.feed_out", hidden, DIM)
        if gated:
            linear(weights, f"{block}.attention_gate", DIM, DIM)
            linear(weights, f"{block}.feed_gate", DIM, DIM)
    norm(weights, "ends.norm")
    users = []
    for history in HISTORIES:
        x = weights["ends.embedding"][history] * math.sqrt(DIM) + weights["ends.positions"][: len(history)]
        for block in ["blocks.0", "blocks.1"]:
            y = normalize(weights, f"{block}.attention_norm", x)
            q, k, v = map(split_heads, apply(weights, f"{block}.attention_in", y).chunk(3, -1))
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=causal(len(history)))
            y = apply(weights, f"{block}.attention_out", attended.transpose(0, 1).reshape(-1, DIM))
            if gated:
                y = y * torch.sigmoid(apply(weights, f"{block}.attention_gate", x))
            x = x + y
            y = apply(weights, f"{block}.feed_in", normalize(weights, f"{block}.feed_norm", x))
            y = F.silu(y[:, :hidden]) * y[:, hidden:] if gated else F.relu(y)
            y = apply(weights, f"{block}.feed_out", y)
            if gated:
                y = y * torch.sigmoid(apply(weights, f"{block}.feed_gate", x))
            x = x + y
        users.append(normalize(weights, "ends.norm", x)[-1])
    return weights, torch.stack(users).unsqueeze(1)


def hstu():
    weights = {f"ends.{name}": table for name, table in tables().items()}
    weights["ends.positions"] = draw(MAX_LEN, DIM)
    for block in ["blocks.0", "blocks.1"]:
        norm(weights, f"{block}.norm")
        linear(weights, f"{block}.project", DIM, 4 * DIM)
        norm(weights, f"{block}.attended_norm")
        linear(weights, f"{block}.output", DIM, DIM)
        weights[f"{block}.position_bias"] = draw(MAX_LEN, 1)
        weights[f"{block}.time_bias"] = draw(128, 1)
    norm(weights, "ends.norm")
    users = []
    for history, times in zip(HISTORIES, TIMES):
        length = len(history)
        apart = torch.tensor(times)[:, None] - torch.tensor(times)[None, :]
        classes = (apart.abs().clamp(min=1).log() / 0.301).long().clamp(max=127)
        places = torch.arange(length)
        distances = (places[:, None] - places[None, :]).clamp(min=0)
        x = weights["ends.embedding"][history] * math.sqrt(DIM) + weights["ends.positions"][:length]
        for block in ["blocks.0", "blocks.1"]:
            y = F.silu(apply(weights, f"{block}.project", normalize(weights, f"{block}.norm", x)))
            u, v, q, k = y.chunk(4, -1)
            scores = split_heads(q) @ split_heads(k).transpose(1, 2)
            scores = scores + weights[f"{block}.position_bias"][distances, 0]
            scores = scores + weights[f"{block}.time_bias"][classes, 0]
            attention = F.silu(scores) / MAX_LEN * causal(length)
            attended = (attention @ split_heads(v)).transpose(0, 1).reshape(-1, DIM)
            attended = normalize(weights, f"{block}.attended_norm", attended)
            x = x + apply(weights, f"{block}.output", attended * u)
        users.append(normalize(weights, "ends.norm", x)[-1])
    return weights, torch.stack(users).unsqueeze(1)


def squash(x):
    squares = (x * x).sum(-1, keepdim=True)
    return squares / (1 + squares) * x / (squares + 1e-9).sqrt()


def route(votes, logits, iterations):
    """votes [interests, len, dim], logits [interests, len]"""
    for _ in range(iterations - 1):
        interests = squash((logits.softmax(0).unsqueeze(-1) * votes).sum(1))
        logits = logits + torch.einsum("kld,kd->kl", votes, interests)
    return squash((logits.softmax(0).unsqueeze(-1) * votes).sum(1))


INTERESTS = 3


def multi_interest(kind):
    weights = tables()
    if kind == "mind":
        linear(weights, "project", DIM, DIM)
        weights["logits"] = draw(INTERESTS, MAX_LEN)
        linear(weights, "feed_forward.0", DIM, 4 * DIM)
        linear(weights, "feed_forward.1", 4 * DIM, DIM)
    elif kind == "comirec_dr":
        linear(weights, "project", DIM, INTERESTS * DIM)
    else:
        weights["positions"] = draw(MAX_LEN, DIM)
        linear(weights, "project", DIM, 6)
        linear(weights, "weigh", 6, INTERESTS)
    users = []
    for history in HISTORIES:
        length = len(history)
        items = weights["embedding"][history]
        if kind == "mind":
            votes = apply(weights, "project", items).expand(INTERESTS, length, DIM)
            capsules = route(votes, weights["logits"][:, :length], 3)
            hidden = F.relu(apply(weights, "feed_forward.0", capsules))
            users.append(apply(weights, "feed_forward.1", hidden))
        elif kind == "comirec_dr":
            votes = apply(weights, "project", items).reshape(length, INTERESTS, DIM)
            users.append(route(votes.transpose(0, 1), torch.zeros(INTERESTS, length), 3))
        else:
            hidden = torch.tanh(apply(weights, "project", items + weights["positions"][:length]))
            users.append(apply(weights, "weigh", hidden).softmax(0).T @ items)
    return weights, torch.stack(users)


def attended(users, vectors, soft):
    targets = vectors[TARGETS]
    near = torch.einsum("bkd,bd->bk", users, targets)
    shares = near.softmax(1) if soft else F.one_hot(near.argmax(1), INTERESTS).double()
    return torch.einsum("bk,bkd->bd", shares, users)


FEATURES = 3


def two_tower():
    weights = tables()
    weights["features"] = torch.randint(0, 2, (ITEMS + 1, FEATURES)).double()
    weights["features"][0] = 0
    linear(weights, "embedding.vectors.0.0", FEATURES, 6)
    linear(weights, "embedding.vectors.0.1", 6, DIM)
    linear(weights, "user_tower.0", DIM, 6)
    linear(weights, "user_tower.1", 6, DIM)
    hidden = F.relu(apply(weights, "embedding.vectors.0.0", weights["features"]))
    vectors = weights["embedding"] + apply(weights, "embedding.vectors.0.1", hidden)
    users = []
    for history in HISTORIES:
        mean = vectors[history].mean(0)
        users.append(mean + apply(weights, "user_tower.1", F.relu(apply(weights, "user_tower.0", mean))))
    return weights, torch.stack(users).unsqueeze(1), vectors


def item2vec():
    weights = tables()
    weights["context"] = draw(ITEMS + 1, DIM)
    users = [F.normalize(weights["embedding"][history[-2:]], dim=1).mean(0) for history in HISTORIES]
    centers, others = [], []
    # The target is the sequence's last item.
    for sequence in [history + [target] for history, target in zip(HISTORIES, TARGETS)]:
        for a in range(len(sequence)):
            for b in range(len(sequence)):
                if a != b and abs(a - b) <= 2:
                    centers.append(sequence[a])
                    others.append(sequence[b])
    logits = weights["embedding"][centers] @ weights["context"][1:].T
    loss = F.cross_entropy(logits, torch.tensor(others) - 1)
    return weights, torch.stack(users).unsqueeze(1), loss


def model(weights, users, loss):
    flat = {name: {"shape": list(value.shape), "values": value.flatten().tolist()} for name, value in weights.items()}
    return {"weights": flat, "users": users.flatten().tolist(), "loss": float(loss)}


def losses():
    negatives = [2, 5, 8, 9]
    log_chances = torch.tensor([-0.5, -1.0, -0.25, -2.0])
    log_chances_of_targets = torch.tensor([-1.5, -0.25, -1.0])
    users, table = draw(3, DIM, scale=1.0), draw(ITEMS + 1, DIM, scale=1.0)
    table[0] = 0
    values = {}

    def rows(of):
        total = 0
        for row, target in enumerate(TARGETS):
            kept = [place for place, item in enumerate(negatives) if item != target]
            s = users[row] @ table[target]
            n = table[[negatives[place] for place in kept]] @ users[row]
            total = total + of(s, n, log_chances[kept], log_chances_of_targets[row])
        return float(total / len(TARGETS))

    def cross_entropy(s, n):
        return -F.log_softmax(torch.cat([s[None], n]), 0)[0]

    def bpr_max(s, n, regularization):
        w = n.softmax(0)
        return -(w * torch.sigmoid(s - n)).sum().log() + regularization * (w * n * n).sum()

    def binary(s, n, weight):
        return (-weight * F.logsigmoid(s) - F.logsigmoid(-n).sum()) / (1 + len(n))

    rate = len(negatives) / (ITEMS - 1)
    beta = rate * (0.6 * (1 - 1 / rate) + 1 / rate)
    values["softmax"] = rows(lambda s, n, q, p: cross_entropy(s, n))
    values["softmax_log_q"] = rows(lambda s, n, q, p: cross_entropy(s - p, n - q))
    values["bpr"] = rows(lambda s, n, q, p: -F.logsigmoid(s - n).mean())
    values["bpr_max"] = rows(lambda s, n, q, p: bpr_max(s, n, 0.7))
    values["bpr_max_elu"] = rows(lambda s, n, q, p: bpr_max(F.elu(s, 0.5), F.elu(n, 0.5), 0.7))
    values["top1_max"] = rows(
        lambda s, n, q, p: (n.softmax(0) * (torch.sigmoid(n - s) + torch.sigmoid(n * n))).sum()
    )
    values["bce"] = rows(lambda s, n, q, p: binary(s, n, 1))
    values["gbce"] = rows(lambda s, n, q, p: binary(s, n, beta))
    return {
        "users": users.flatten().tolist(),
        "table": table.flatten().tolist(),
        "negatives": negatives,
        "log_chances": log_chances.tolist(),
        "log_chances_of_targets": log_chances_of_targets.tolist(),
        "values": values,
    }


models = {}
for name, gated, feed_forward in [("sasrec", False, 1), ("ligr", True, 2)]:
    weights, users = sasrec(gated, feed_forward)
    models[name] = model(weights, users, softmax_loss(users[:, 0], weights["ends.embedding"]))
weights, users = hstu()
models["hstu"] = model(weights, users, softmax_loss(users[:, 0], weights["ends.embedding"]))
for name in ["mind", "comirec_dr", "comirec_sa"]:
    weights, users = multi_interest(name)
    vectors = attended(users, weights["embedding"], name == "mind")
    models[name] = model(weights, users, softmax_loss(vectors, weights["embedding"]))
weights, users, vectors = two_tower()
models["two_tower"] = model(weights, users, softmax_loss(users[:, 0], vectors))
models["item2vec"] = model(*item2vec())
print(json.dumps({"items": ITEMS, "histories": HISTORIES, "times": TIMES, "targets": TARGETS, "models": models, "losses": losses()}))
