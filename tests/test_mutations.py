"""The tests can fail: faults that people really make, put into a copy of gptcore one by one, are all caught."""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# name: (module, what is there, what the fault makes of it); the module's own tests must notice
FAULTS = {
    "variance over n - 1": (
        "model",
        "F.layer_norm(x, self.scale.shape, self.scale, self.shift, self.eps)",
        "self.scale * (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + self.eps).sqrt() + self.shift",
    ),
    "eps outside the root": (
        "model",
        "F.layer_norm(x, self.scale.shape, self.scale, self.shift, self.eps)",
        "self.scale * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True, unbiased=False) + self.eps) "
        "+ self.shift",
    ),
    "another eps": ("model", "self.eps = 1e-5", "self.eps = 1e-6"),
    "norm over the wrong axis": (
        "model",
        "F.layer_norm(x, self.scale.shape, self.scale, self.shift, self.eps)",
        "self.scale * (x - x.mean(0)) / (x.var(0, unbiased=False) + self.eps).sqrt() + self.shift",
    ),
    "shift forgotten": ("model", "self.scale, self.shift, self.eps", "self.scale, None, self.eps"),
    "exact GELU": ("model", 'F.gelu(x, approximate="tanh")', "F.gelu(x)"),
    "no activation": ("model", "            GELU(),\n", "            nn.Identity(),\n"),
    "no causal mask": ("model", "is_causal=num_new == num_seen", "is_causal=False"),
    "mask off by one": (
        "model",
        "attn_mask=mask,\n"
        "            dropout_p=self.dropout if self.training else 0.0,\n            is_causal=num_new == num_seen,",
        "attn_mask=torch.ones(num_new, num_seen, dtype=torch.bool).tril(num_seen - num_new + 1),",
    ),
    "no scaling": ("model", "attn_mask=mask,", "attn_mask=mask, scale=1.0,"),
    "heads mixed up": (
        "model",
        "x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)",
        "x.unflatten(-1, (-1, self.num_heads)).permute(0, 3, 1, 2)",
    ),
    "heads not moved back": (
        "model",
        "context.transpose(1, 2).flatten(2)",
        "context.reshape(x.shape[0], x.shape[1], -1)",
    ),
    "keys and queries swapped": (
        "model",
        "            queries,\n            keys,\n",
        "            keys,\n            queries,\n",
    ),
    "attention's dropout on in eval": ("model", "self.dropout if self.training else 0.0", "self.dropout"),
    "post-LN": (
        "model",
        "x = x + self.drop_shortcut(self.att(self.norm1(x), cache, block_index))",
        "x = self.norm1(x + self.drop_shortcut(self.att(x, cache, block_index)))",
    ),
    "attention's shortcut dropped": ("model", "x = x + self.drop_shortcut(self.att", "x = self.drop_shortcut(self.att"),
    "feed-forward's shortcut dropped": (
        "model",
        "x = x + self.drop_shortcut(self.ff",
        "x = self.drop_shortcut(self.ff",
    ),
    "dropout on the shortcut": (
        "model",
        "x = x + self.drop_shortcut(self.ff(self.norm2(x)))",
        "x = self.drop_shortcut(x + self.ff(self.norm2(x)))",
    ),
    "one norm used twice": ("model", "self.ff(self.norm2(x))", "self.ff(self.norm1(x))"),
    "positions dropped": ("model", "self.tok_emb(in_idx) + self.pos_emb(positions)", "self.tok_emb(in_idx)"),
    "positions from 1": (
        "model",
        "self.pos_emb(positions)",
        "self.pos_emb((positions + 1) % self.cfg['context_length'])",
    ),
    "final norm dropped": ("model", "return self.final_norm(x)", "return x"),
    "one block for all": (
        "model",
        "x = block(x, cache, block_index)",
        "x = self.trf_blocks[0](x, cache, block_index)",
    ),
    "tying by copy": (
        "model",
        "self.out_head.weight = self.tok_emb.weight",
        "self.out_head.weight.data = self.tok_emb.weight.data.clone()",
    ),
    "softmax over the wrong dimension": ("generation", "torch.softmax(logits, dim=-1)", "torch.softmax(logits, dim=0)"),
    "first instead of last position": ("generation", "model(idx_cond)[:, -1, :]", "model(idx_cond)[:, 0, :]"),
    "the context's first tokens": ("generation", "idx[:, -context_size:]", "idx[:, :context_size]"),
    "one token too few": (
        "generation",
        "range(max_new_tokens):\n        idx_cond",
        "range(max_new_tokens - 1):\n        idx_cond",
    ),
    "every new token told that it stands at position 0": (
        "generation_of_model",
        "start = cache.num_tokens",
        "start = 0",
    ),
    "new keys written over the old ones": (
        "generation_of_model",
        "room = all_keys.narrow(2, start, num_new)",
        "room = all_keys.narrow(2, 0, num_new)",
    ),
    "the cache's mask off by one": (
        "generation_of_model",
        ".tril(num_seen - num_new)",
        ".tril(num_seen - num_new + 1)",
    ),
    "the window does not slide": (
        "generation",
        "idx = torch.cat((idx, new), dim=1)[:, -context_length:]",
        "idx = torch.cat((idx, new), dim=1)[:, :context_length]",
    ),
    "temperature multiplied": (
        "generation",
        "torch.softmax(logits / temperature",
        "torch.softmax(logits * temperature",
    ),
    "top-k keeps one too many": ("generation", "torch.topk(logits, top_k)", "torch.topk(logits, top_k + 1)"),
    "a row goes on after its end": ("generation", "torch.where(has_ended, eos_id, new)", "new"),
    "bias forgotten": ("linear", "y = y if bias is None else y + bias", "pass"),
    "slices in the wrong order": (
        "linear",
        "torch.bmm(weight.view(num_slices, -1, in_features), columns)",
        "torch.bmm(weight.view(num_slices, -1, in_features), columns).flip(0)",
    ),
    "joined layers taken in any order": (
        "linear",
        "part.storage_offset() != first.storage_offset() + i * step",
        "False",
    ),
    "joined while gradients are recorded": ("linear", "if torch.is_grad_enabled() else", "if False else"),
    "a matrix not transposed": (
        "pretrained",
        'tensors[f"{theirs}.{name}.weight"].t()',
        'tensors[f"{theirs}.{name}.weight"]',
    ),
    "query, key and value in another order": (
        "pretrained",
        '("W_query", "W_key", "W_value")',
        '("W_key", "W_query", "W_value")',
    ),
    "biases not loaded into their places": (
        "pretrained",
        '.att.{layer}.bias": bias}',
        '.att.{layer}.bias": biases[0]}',
    ),
    "head tied without being told": (
        "pretrained",
        "return model.tie_weights() if is_tied else model",
        "return model.tie_weights()",
    ),
    "gradients not cleared": ("training", "            optimizer.zero_grad()\n", ""),
    "trained in eval mode": ("training", "    model.train()\n", "    model.eval()\n"),
    "biases not counted": ("accounting", "2 * emb_dim * hidden_dim + hidden_dim + emb_dim", "2 * emb_dim * hidden_dim"),
    "head's FLOP forgotten": ("accounting", ' + cfg["vocab_size"] * emb_dim\n    return FLOP', "\n    return FLOP"),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The test runs of all faulty copies, as many at once as there are processors, each on one."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {
            fault: pool.submit(run_tests_of_copy, *FAULTS[fault], tmp_path_factory.mktemp("copy")) for fault in FAULTS
        }


def run_tests_of_copy(module, old, new, folder):
    """Run the module's tests on a copy of gptcore in which `old` became `new`; "generation_of_model": model's faults
    that generation's tests must notice."""
    tests, _, elsewhere = module.partition("_of_")
    module = elsewhere or tests
    shutil.copytree(ROOT / "gptcore", folder / "gptcore", ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / "gptcore" / f"{module}.py"
    source = file.read_text(encoding="utf-8")
    assert source.count(old) == 1, f"{old!r} is not in {module} any more: renew the fault"
    file.write_text(source.replace(old, new), encoding="utf-8")
    shutil.copy(ROOT / "tests" / f"test_{tests}.py", folder)
    return subprocess.run(  # in the copy's folder, so that Python finds the faulty gptcore first
        [sys.executable, "-m", "pytest", "-x", "-q", "-k", "not 124m", f"test_{tests}.py"],
        check=False,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught(fault, runs):
    finished = runs[fault].result()
    caught_by = re.search(r"FAILED \S+::(\S+)", finished.stdout)
    assert finished.returncode == 1 and caught_by, f"nobody noticed: {finished.stdout[-500:]}"
    print(f"{fault}: caught by {caught_by[1]}")
