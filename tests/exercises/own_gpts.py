"""Two whole GPTs by two people, as text, so that a fault can be planted in either; and what is made of a text."""

import itertools
import json
import linecache
import re
from pathlib import Path

import gptcore
from gptcore.exercises.own_gpt import CLASSES, GPTCORES

SOLUTIONS = Path(__file__).parents[2] / "notebooks" / "solutions" / "14_your_own_gpt.ipynb"


def answers():
    """The code of the solutions to 14.1 and 14.2, as it stands in the notebook, with what it imports."""
    cells = json.loads(SOLUTIONS.read_text(encoding="utf-8"))["cells"]
    names = [name.lower() for name in CLASSES]
    chosen = [f"ex-14-1-{name}" for name in names] + ["ex-14-2-answer"]
    sources = ["".join(cell["source"]) for cell in cells if cell["id"] in chosen]
    code = [line for source in sources for line in source.splitlines() if not re.match(r" *###|My\w+ = ", line)]
    return "\n".join(["import math", "import torch", "from torch import nn", *code, ""])


SOLVER = answers()
SOMEBODY_ELSE = '''
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import einsum


class MyLayerNorm(nn.Module):
    """weight and bias are PyTorch's names, as is what fills the one, and it does all in one."""

    def __init__(self, n, eps=1e-5):
        super().__init__()
        self.bias, self.eps = nn.Parameter(torch.zeros(n)), eps
        self.weight = nn.Parameter(nn.init.constant_(torch.empty(n), 1.0))

    def forward(self, t):
        t = t - t.mean(-1, True)
        return t * (t.square().mean(-1, True) + self.eps).rsqrt() * self.weight + self.bias


def softmax(a, axis):
    e = (a - a.amax(axis, keepdim=True)).exp()
    return e / e.sum(axis, keepdim=True)


class MyGELU(nn.Module):
    def forward(self, t):
        return t * torch.sigmoid(2 * 0.7978845608 * (t + 0.044715 * t.pow(3)))


class MyFeedForward(nn.Sequential):
    def __init__(self, cfg):
        n = cfg["emb_dim"]
        super().__init__(nn.Linear(n, n * 4), MyGELU(), nn.Linear(n * 4, n), nn.Dropout(cfg["drop_rate"]))


class MyAttention(nn.Module):
    def __init__(self, d_in, d_out, context_length, dropout, num_heads, qkv_bias=False):
        super().__init__()
        self.h, self.d = num_heads, d_out // num_heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(d_in, d_out, bias=qkv_bias) for _ in range(3))
        self.out_proj = nn.Linear(d_out, d_out)
        self.register_buffer("bias_mask", torch.full((context_length, context_length), -1e30).triu(1))

    def forward(self, x):
        split = lambda t: t.reshape(*t.shape[:2], self.h, self.d)
        q, k, v = split(self.q_proj(x)), split(self.k_proj(x)), split(self.v_proj(x))
        n = x.shape[1]
        w = softmax(einsum("bihd,bjhd->bhij", q, k) * self.d**-0.5 + self.bias_mask[:n, :n], -1)
        return self.out_proj(einsum("bhij,bjhd->bihd", w, v).flatten(2))


class MyBlock(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        for name in ("norm1", "norm2"):
            setattr(self, name, MyLayerNorm(cfg["emb_dim"]))
        self.att = MyAttention(d_in=cfg["emb_dim"], d_out=cfg["emb_dim"], context_length=cfg["context_length"],
                               dropout=cfg["drop_rate"], num_heads=cfg["n_heads"], qkv_bias=cfg["qkv_bias"])
        self.ff = MyFeedForward(cfg)

    def forward(self, x):
        for norm, part in ((self.norm1, self.att), (self.norm2, self.ff)):
            x = F.dropout(part(norm(x)), 0.1, self.training) + x
        return x


class MyGPT(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.out_head = nn.Linear(cfg["emb_dim"], cfg["vocab_size"], bias=False)
        self.final_norm = MyLayerNorm(cfg["emb_dim"])
        self.tok_emb = nn.Embedding(cfg["vocab_size"], cfg["emb_dim"])
        self.pos_emb = nn.Embedding(cfg["context_length"], cfg["emb_dim"])
        self.trf_blocks = nn.Sequential(*[MyBlock(cfg) for _ in range(cfg["n_layers"])])

    def forward(self, ids):
        table = self.pos_emb.weight[: ids.size(-1)]
        return self.out_head(self.final_norm(self.trf_blocks(self.tok_emb(ids) + table)))


def my_generate(model, idx, max_new_tokens, context_size):
    with torch.inference_mode():
        while max_new_tokens:
            scores = model(idx if idx.size(1) <= context_size else idx[:, idx.size(1) - context_size :])
            idx = torch.hstack([idx, scores[:, -1].topk(1).indices])
            max_new_tokens -= 1
    return idx
'''
_numbers = itertools.count()


def parts_of(text, *exchanges):
    """Return the parts that a text defines, by name, after exchanging pieces of it, each of which must be there."""
    for old, new in exchanges:
        assert old in text, old
        text = text.replace(old, new)
    name = f"<own gpt {next(_numbers)}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    given = {"__name__": "learner", "gptcore": gptcore}
    exec(compile(text, name, "exec"), given)
    return {part: given[part] for part in GPTCORES if part in given}
