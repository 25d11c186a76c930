"""gptcore beside transformers and the package of Raschka's book, on the same random weights, in the same run.

Prints a table: the median of ROUNDS interleaved rounds, the ratio to each peer (above 1: gptcore is faster), and the
share of the limit that this machine's measured memory bandwidth or matrix product sets. Measure on a machine that does
nothing else. The book's package is not among the requirements, because it would bring TensorFlow; without its own:

    pip install --no-deps llms-from-scratch==1.0.19
    python tests/benchmarks/generation.py
"""

import importlib.util
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import torch
import transformers
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from gptcore import GPT_CONFIG_124M, GPTModel, forward_flops, generate, generate_text_simple
from gptcore.linear import Linear

ROUNDS = 7
PROMPT, NEW, NEW_UNCACHED, LONG = 16, 64, 12, 512  # tokens
TEXTS_AT_ONCE, NEW_OF_MANY = (1, 2, 4, 8, 16, 32, 64), 8
PROCESS = """
import resource, sys, time
import torch
torch.set_grad_enabled(False)
{imports}
start = time.perf_counter()
{timed}
seconds = time.perf_counter() - start
{then}
try:  # a new process inherits its parent's peak, but not in this file
    peak = 1024 * int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
except FileNotFoundError:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print("", seconds, peak, sep="\\n")
"""
READ_EVERY_WEIGHT = "model(torch.tensor([[1]]))"
CHAPTER_4 = """
torch.manual_seed(123)
model = GPTModel({config}).eval()
ids = generate_text_simple(model, torch.tensor([[15496, 11, 314, 716]]), max_new_tokens=6, context_size=1024)
"""  # "Hello, I am"


def in_new_processes(programs, then, rounds=5):
    """Median seconds, highest peak in MB and what was printed, for each name of {name: (imports, timed)}."""
    runs = {name: [] for name in programs}
    for _ in range(rounds):
        for name, (imports, timed) in programs.items():
            program = PROCESS.format(imports=imports, timed=timed, then=then)
            run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
            *printed, seconds, peak = run.stdout.splitlines()
            runs[name].append((float(seconds), float(peak) / 1e6, " ".join(printed)))
    return {
        name: (statistics.median(run[0] for run in said), max(run[1] for run in said), said[0][2])
        for name, said in runs.items()
    }


def report_processes(title, figures):
    report(title, {name: took for name, (took, _, _) in figures.items()}, "s")
    print("  peak memory of the process:")
    for name, (_, peak, _) in figures.items():
        print(f"  {name:<24}{peak:10.0f} MB")


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(works, rounds=ROUNDS):
    """Median seconds of each work; every round runs all of them, so that a noisy minute hits all."""
    for work in works.values():
        work()
    times = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(seconds(work))
    return {name: statistics.median(measured) for name, measured in times.items()}


def report(title, medians, unit, per_second=None, limit=None):
    """`per_second`: things done in one run, to print a speed; `limit`: the highest speed possible."""
    print(f"\n{title}")
    ours = medians["gptcore"]
    for name, median in medians.items():
        shown = f"{per_second / median:10.1f} {unit}" if per_second else f"{median:10.3f} {unit}"
        ratio = "" if name == "gptcore" else f"   gptcore is {median / ours:.2f} times as fast"
        share = f"   {per_second / median / limit:.0%} of the limit" if limit else ""
        print(f"  {name:<24}{shown}{share}{ratio}", flush=True)


def book(config):
    """The book's model with and without its cache, as functions of (ids, how many new); {} without the package."""
    if importlib.util.find_spec("llms_from_scratch") is None:
        return {}
    from llms_from_scratch.ch04 import GPTModel as Model
    from llms_from_scratch.ch04 import generate_text_simple as loop
    from llms_from_scratch.kv_cache.gpt2 import GPTModel as CachedModel
    from llms_from_scratch.kv_cache.utils import KVCache

    plain, cached = Model(config).eval(), CachedModel(config).eval()

    def with_cache(idx, num_new):  # the package's own loop does not switch the cache on: use_cache stays False
        cache = KVCache(config["n_layers"])
        cached.current_pos = 0
        new = idx
        for _ in range(num_new):
            new = cached(new, use_cache=True, cache=cache)[:, -1].argmax(dim=-1, keepdim=True)
            idx = torch.cat((idx, new), dim=1)
        return idx

    return {"forward": plain, "simple": lambda idx, num_new: loop(plain, idx, num_new, 1024), "cache": with_cache}


def use_product(model, kind):
    for part in model.modules():
        if isinstance(part, nn.Linear):
            part.__class__ = kind  # the same weights, another forward
    return model


def report_many_texts(model):
    print(f"\nGreedy decoding of several texts at once, {PROMPT} + {NEW_OF_MANY} tokens, tokens/s")
    print(f"  {'texts':<8}{'gptcore':>10}{'nn.Linear':>12}")
    for num_texts in TEXTS_AT_ONCE:
        prompts = torch.randint(50257, (num_texts, PROMPT))
        works = {
            kind: lambda kind=kind, prompts=prompts: generate(use_product(model, kind), prompts, NEW_OF_MANY)
            for kind in (Linear, nn.Linear)
        }
        speeds = {kind: num_texts * NEW_OF_MANY / took for kind, took in interleaved(works, rounds=3).items()}
        print(f"  {num_texts:<8}{speeds[Linear]:>10.1f}{speeds[nn.Linear]:>12.1f}", flush=True)
    use_product(model, Linear)


@torch.no_grad()
def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(123)
    numbers = torch.ones(128 * 2**20)
    bandwidth = numbers.nbytes / statistics.median(seconds(numbers.sum) for _ in range(ROUNDS))
    square = torch.randn(2048, 2048)
    flops = 2 * 2048**3 / statistics.median(seconds(lambda: square @ square) for _ in range(ROUNDS))
    del numbers
    print(f"{torch.get_num_threads()} threads, memory {bandwidth / 1e9:.1f} GB/s, products {flops / 1e9:.0f} GFLOP/s")

    with tempfile.TemporaryDirectory() as folder:
        theirs = GPT2LMHeadModel(GPT2Config()).eval()
        theirs.save_pretrained(folder)
        loads = {
            "gptcore": ("from gptcore import GPTModel", f"model = GPTModel.from_pretrained({folder!r})"),
            "transformers": (
                "from transformers import GPT2LMHeadModel",
                f"model = GPT2LMHeadModel.from_pretrained({folder!r}).eval()",
            ),
        }
        figures = in_new_processes(loads, READ_EVERY_WEIGHT)
        report_processes("Build the 124M model and load its checkpoint, in a new process", figures)

        ours = GPTModel.from_pretrained(folder)
        theirs = GPT2LMHeadModel.from_pretrained(folder).eval()
        prompt, long = torch.randint(50257, (1, PROMPT)), torch.randint(50257, (1, LONG))
        settings = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False, "pad_token_id": 0}
        works = {
            "gptcore": lambda: generate(ours, prompt, NEW),
            "transformers": lambda: theirs.generate(prompt, **settings),
        }
        if shutil.which("c++") or shutil.which("cl"):
            compiled = GPTModel.from_pretrained(folder)
            for block in compiled.trf_blocks:
                block.ff.compile()
            works["gptcore, ff compiled"] = lambda: generate(compiled, prompt, NEW)
        else:
            print("\nThere is no C++ compiler here: no row for torch.compile.")
        the_book = book({**GPT_CONFIG_124M, "qkv_bias": True})
        if the_book:
            works["the book, with cache"] = lambda: the_book["cache"](prompt, NEW)
            try:
                works["the book, with cache"]()
            except RuntimeError as error:  # 1.0.19 cuts its mask along the wrong axis
                del works["the book, with cache"]
                print(f"\nThe book's cache does not run, its row is left out: {error}")
        assert torch.equal(works["gptcore"](), works["transformers"]()), "same weights, other tokens"
        weights = sum(p.nbytes for p in ours.parameters()) - ours.pos_emb.weight.nbytes
        report(
            f"Greedy decoding, 124M, batch 1, float32, {PROMPT} + {NEW} tokens",
            interleaved(works),
            "tokens/s",
            NEW,
            bandwidth / weights,
        )

        report_many_texts(ours)

        works = {"gptcore": lambda: ours(long), "transformers": lambda: theirs(long)}
        if the_book:
            works["the book"] = lambda: the_book["forward"](long)
        limit = flops / forward_flops(GPT_CONFIG_124M, LONG)
        report(f"Forward pass, {LONG} tokens", interleaved(works), "passes/s", 1, limit)

        if the_book:
            works = {
                "gptcore": lambda: generate_text_simple(ours, prompt, NEW_UNCACHED, 1024),
                "the book": lambda: the_book["simple"](prompt, NEW_UNCACHED),
            }
            report(
                f"generate_text_simple, no cache, {PROMPT} + {NEW_UNCACHED}",
                interleaved(works),
                "tokens/s",
                NEW_UNCACHED,
            )
            modules = {"gptcore": "gptcore", "the book": "llms_from_scratch.ch04"}
            chapter_4 = {
                name: (f"from {module} import GPTModel, generate_text_simple", CHAPTER_4.format(config=GPT_CONFIG_124M))
                for name, module in modules.items()
            }
            figures = in_new_processes(chapter_4, "print(ids.tolist())")
            assert len({printed for _, _, printed in figures.values()}) == 1, "same seed, other tokens"
            report_processes("The book's chapter 4: a new 124M model writes 6 tokens, in a new process", figures)
        else:
            print("\nThe book's package is not installed: its rows are left out.")


if __name__ == "__main__":
    main()
