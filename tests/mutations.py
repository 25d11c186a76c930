"""Faults that people really make, and a program that tries each of them: is it caught by the test that should?

    python tests/mutations.py FOLDER

works on a copy of gptcore in FOLDER, all in one process: PyTorch is imported once, gptcore anew for each fault. Prints
a line of JSON for each: its name, and how many runs of its test failed. Pytest's own report goes to standard error.
"""

import contextlib
import importlib
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import Phase, settings

TESTS = Path(__file__).parent

# the test that must notice: {the fault's name: (module, what is there, what the fault makes of it)}
FAULTS = {
    "test_model.py::TestLayerNorm::test_equals_pytorch_and_the_formula": {
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
        "another eps": (
            "model",
            "self.eps = 1e-5",
            "self.eps = 1e-6",
        ),
        "norm over the wrong axis": (
            "model",
            "F.layer_norm(x, self.scale.shape, self.scale, self.shift, self.eps)",
            "self.scale * (x - x.mean(0)) / (x.var(0, unbiased=False) + self.eps).sqrt() + self.shift",
        ),
        "shift forgotten": (
            "model",
            "self.scale, self.shift, self.eps",
            "self.scale, None, self.eps",
        ),
    },
    "test_model.py::TestGELU::test_equals_the_tanh_formula_and_not_the_exact_form": {
        "exact GELU": (
            "model",
            'F.gelu(x, approximate="tanh")',
            "F.gelu(x)",
        ),
    },
    "test_model.py::TestFeedForward::test_equals_its_formula_and_treats_each_token_alone": {
        "no activation": (
            "model",
            "            GELU(),\n",
            "            nn.Identity(),\n",
        ),
    },
    "test_model.py::TestMultiHeadAttention::test_equals_pytorchs_multi_head_attention": {
        "no causal mask": (
            "model",
            "is_causal=num_new == num_seen",
            "is_causal=False",
        ),
        "mask off by one": (
            "model",
            "attn_mask=mask,\n"
            "            dropout_p=self.dropout if self.training else 0.0,\n            is_causal=num_new == num_seen,",
            "attn_mask=torch.ones(num_new, num_seen, dtype=torch.bool).tril(num_seen - num_new + 1),",
        ),
        "no scaling": (
            "model",
            "attn_mask=mask,",
            "attn_mask=mask, scale=1.0,",
        ),
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
    },
    "test_model.py::TestMultiHeadAttention::test_draws_its_dropout_in_training_only": {
        "attention's dropout on in eval": (
            "model",
            "self.dropout if self.training else 0.0",
            "self.dropout",
        ),
    },
    "test_model.py::TestTransformerBlock::test_norms_come_first_and_both_shortcuts_add": {
        "post-LN": (
            "model",
            "x = x + self.drop_shortcut(self.att(self.norm1(x), remember))",
            "x = self.norm1(x + self.drop_shortcut(self.att(x, remember)))",
        ),
        "attention's shortcut dropped": (
            "model",
            "x = x + self.drop_shortcut(self.att",
            "x = self.drop_shortcut(self.att",
        ),
        "feed-forward's shortcut dropped": (
            "model",
            "x = x + self.drop_shortcut(self.ff",
            "x = self.drop_shortcut(self.ff",
        ),
        "one norm used twice": (
            "model",
            "self.ff(self.norm2(x))",
            "self.ff(self.norm1(x))",
        ),
    },
    "test_model.py::TestTransformerBlock::test_drops_in_training_only_and_never_the_shortcut": {
        "dropout on the shortcut": (
            "model",
            "x = x + self.drop_shortcut(self.ff(self.norm2(x)))",
            "x = self.drop_shortcut(x + self.ff(self.norm2(x)))",
        ),
    },
    "test_model.py::TestGPTModel::test_equals_its_parts_in_order": {
        "positions dropped": (
            "model",
            "self.tok_emb(in_idx) + self.pos_emb(positions)",
            "self.tok_emb(in_idx)",
        ),
        "positions from 1": (
            "model",
            "self.pos_emb(positions)",
            "self.pos_emb((positions + 1) % self.cfg['context_length'])",
        ),
        "final norm dropped": (
            "model",
            "return self.final_norm(x)",
            "return x",
        ),
        "one block for all": (
            "model",
            "x = block(x) if cache is None else block(x,",
            "x = self.trf_blocks[0](x) if cache is None else self.trf_blocks[0](x,",
        ),
    },
    "test_model.py::TestGPTModel::test_tied_weights_are_one_tensor": {
        "tying by copy": (
            "model",
            "self.out_head.weight = self.tok_emb.weight",
            "self.out_head.weight.data = self.tok_emb.weight.data.clone()",
        ),
    },
    "test_generation.py::test_appends_the_highest_score_of_the_last_position": {
        "first instead of last position": (
            "generation",
            "model(idx_cond)[:, -1, :]",
            "model(idx_cond)[:, 0, :]",
        ),
    },
    "test_generation.py::test_the_context_is_the_last_tokens": {
        "softmax over the wrong dimension": (
            "generation",
            "torch.softmax(logits, dim=-1)",
            "torch.softmax(logits, dim=0)",
        ),
        "the context's first tokens": (
            "generation",
            "idx[:, -context_size:]",
            "idx[:, :context_size]",
        ),
        "one token too few": (
            "generation",
            "range(max_new_tokens):\n        idx_cond",
            "range(max_new_tokens - 1):\n        idx_cond",
        ),
    },
    "test_generation.py::test_a_text_fed_in_pieces_gives_the_logits_of_the_whole": {
        "every new token told that it stands at position 0": (
            "model",
            "start = cache.num_tokens",
            "start = 0",
        ),
        "new keys written over the old ones": (
            "cache",
            "room = all_keys.narrow(2, start, num_new)",
            "room = all_keys.narrow(2, 0, num_new)",
        ),
        "the cache's mask off by one": (
            "model",
            ".tril(num_seen - num_new)",
            ".tril(num_seen - num_new + 1)",
        ),
    },
    "test_generation.py::test_temperature_and_top_k_match_the_plain_form_on_a_fixed_seed": {
        "the window does not slide": (
            "generation",
            "idx = torch.cat((idx, new), dim=1)[:, -context_length:]",
            "idx = torch.cat((idx, new), dim=1)[:, :context_length]",
        ),
        "temperature multiplied": (
            "generation",
            ".values) / max(temperature, SMALLEST_TEMPERATURE)",
            ".values) * temperature",
        ),
        "top-k keeps one too many": (
            "generation",
            "torch.topk(logits, top_k)",
            "torch.topk(logits, top_k + 1)",
        ),
    },
    "test_generation.py::test_a_row_ends_at_eos_and_all_rows_end_the_stream": {
        "a row goes on after its end": (
            "generation",
            "torch.where(has_ended, eos_id, new)",
            "new",
        ),
    },
    "test_linear.py::test_equals_pytorch": {
        "bias forgotten": (
            "linear",
            "y = y if bias is None else y + bias",
            "pass",
        ),
        "slices in the wrong order": (
            "linear",
            "torch.bmm(weight.view(num_slices, -1, in_features), columns)",
            "torch.bmm(weight.view(num_slices, -1, in_features), columns).flip(0)",
        ),
    },
    "test_pretrained.py::test_reads_files_with_masks_and_without_the_prefix": {
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
    },
    "test_pretrained.py::test_what_we_save_transformers_loads": {
        "head tied without being told": (
            "model",
            "return (model.tie_weights() if is_tied else model).eval()",
            "return model.tie_weights().eval()",
        ),
    },
    "test_pretrained.py::test_a_subclass_is_loaded_as_itself": {
        "another class than asked for": (
            "model",
            "model = cls(cfg)",
            "model = GPTModel(cfg)",
        ),
    },
    "test_config.py::test_names_every_problem": {
        "one problem hides another": (
            "config",
            "if _is_count(emb_dim) and _is_count(n_heads) and",
            "if not problems and",
        ),
    },
    "test_training.py::test_steps_equal_those_of_adamw_by_hand": {
        "gradients not cleared": (
            "training",
            "            optimizer.zero_grad()\n",
            "",
        ),
    },
    "test_training.py::test_trains_in_train_mode_and_puts_the_mode_back": {
        "trained in eval mode": (
            "training",
            "training=True",
            "training=False",
        ),
    },
    "test_accounting.py::test_the_four_sizes": {
        "biases not counted": (
            "accounting",
            "2 * emb_dim * hidden_dim + hidden_dim + emb_dim",
            "2 * emb_dim * hidden_dim",
        ),
    },
    "test_accounting.py::test_flops_of_the_124m_model": {
        "head's FLOP forgotten": (
            "accounting",
            ' + cfg["vocab_size"] * emb_dim\n    return FLOP',
            "\n    return FLOP",
        ),
    },
    "test_trace.py::test_attention_weights_make_what_the_attention_layer_gives": {
        "weights that were not divided by the root of head_dim": (
            "trace",
            "queries @ keys.mT / keys.shape[-1] ** 0.5",
            "queries @ keys.mT",
        ),
        "weights that hide the token itself, too": (
            "trace",
            "triu(1)",
            "triu(0)",
        ),
    },
    "test_trace.py::test_a_patch_equals_a_model_whose_stream_is_changed_by_hand": {
        "a patch that goes through its own block once more": (
            "trace",
            "for block in model.trf_blocks[depth:]",
            "for block in model.trf_blocks[max(depth - 1, 0) :]",
        ),
        "a patch of the whole stream": (
            "trace",
            "x[places, places] = other[name][0]",
            "x[:, places] = other[name][0]",
        ),
    },
    "test_stories.py::test_losses_by_kind_are_those_of_each_token_counted_by_hand": {
        "every name counts as one that came before": (
            "stories/trial",
            "_AGAIN if name in _WORD.findall(before) else _NEW",
            "_AGAIN",
        ),
    },
}

PLAIN = ["-p", "no:cacheprovider", "-p", "no:unraisableexception", "--disable-plugin-autoload"]


class CountFailures:
    """A plugin of pytest that counts the tests that ran to a failure; an error on the way is none."""

    def __init__(self):
        self.failures = 0

    def pytest_runtest_logreport(self, report):
        self.failures += report.when == "call" and report.failed


def failures_with(test, module, old, new):
    """Run one test on gptcore with the fault in it; return how many of its cases failed."""
    path = Path("gptcore", f"{module}.py")
    source = path.read_text(encoding="utf-8")
    if source.count(old) != 1:
        sys.exit(f"{old!r} is not in {module} any more: renew the fault")
    path.write_text(source.replace(old, new), encoding="utf-8")
    try:
        for name in list(sys.modules):
            if name.split(".")[0] in ("gptcore", test.split(".")[0]):
                del sys.modules[name]
        importlib.invalidate_caches()
        count = CountFailures()
        with contextlib.redirect_stdout(sys.stderr):
            pytest.main(["-x", "-q", *PLAIN, test], plugins=[count])
        return count.failures
    finally:
        path.write_text(source, encoding="utf-8")


def main(folder):
    # Found is enough: no time for the smallest example. And the same examples each time.
    settings.register_profile(
        "mutations", deadline=None, database=None, derandomize=True, phases=[Phase.explicit, Phase.generate]
    )
    settings.load_profile("mutations")
    sys.dont_write_bytecode = True  # the files change faster than their times tell
    shutil.copytree(TESTS.parent / "gptcore", folder / "gptcore", ignore=shutil.ignore_patterns("__pycache__"))
    for name in {test.split("::")[0] for test in FAULTS}:
        shutil.copy(TESTS / name, folder)
    os.chdir(folder)  # here no conftest.py and no pyproject.toml say otherwise
    sys.path.insert(0, str(folder))  # so that Python finds the faulty gptcore first
    for test, faults in FAULTS.items():
        for fault, (module, old, new) in faults.items():
            print(json.dumps([fault, failures_with(test, module, old, new)]), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
