"""What a task forbids: watching learners' code for functions and classes that do its work ready-made."""

import sys
from pathlib import Path

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

# Whose functions written in Python are noted, and what they are called in messages. The first folder that fits counts.
FOLDERS = {
    str(Path(__file__).parent): None,  # what judges: it has right answers of its own
    str(Path(__file__).parents[1]): "gptcore's {}",
    str(Path(torch.__file__).parent / "nn" / "modules"): "nn.{}",
    str(Path(torch.__file__).parent / "distributions"): "PyTorch's {}",
}

NORMS = (
    *("layer_norm", "native_layer_norm", "LayerNorm", "rms_norm", "_fused_rms_norm", "RMSNorm", "normalize"),
    *("group_norm", "native_group_norm", "GroupNorm", "instance_norm", "batch_norm", "native_batch_norm"),
)
GELUS = ("gelu", "gelu_", "GELU")
LOSSES = (
    *("cross_entropy", "cross_entropy_loss", "CrossEntropyLoss", "nll_loss", "nll_loss_nd", "NLLLoss"),
    *("softmax", "_softmax", "Softmax", "log_softmax", "_log_softmax", "LogSoftmax", "softmin", "Categorical"),
    *("linear_cross_entropy", "gumbel_softmax", "kl_div"),
)
COUNTS = (
    *("count_parameters", "parameter_table", "memory_bytes", "forward_flops"),
    *("GPTModel", "TransformerBlock", "MultiHeadAttention", "FeedForward"),
)
LAYERS = ("Module", "Linear", "LayerNorm")
WRITERS = ("generate_text_simple", "generate", "stream")
PARTS = (  # of a whole GPT
    *NORMS,
    *GELUS,
    *("scaled_dot_product_attention", "multi_head_attention_forward", "_native_multi_head_attention"),
    *("MultiheadAttention", "MultiHeadAttention", "FeedForward", "TransformerBlock", "GPTModel"),
    *("TransformerEncoderLayer", "TransformerEncoder", "TransformerDecoderLayer", "TransformerDecoder", "Transformer"),
)


class Watch(TorchFunctionMode):
    """While it is entered, note which functions and classes of these names are used, under whatever other name.

    PyTorch hands its own functions to a mode such as this one; for all others Python tells which code it enters. The
    name is the function's own, so an alias, `partial` or another import of it changes nothing. What happens inside a
    module for which `passed_over(module)` is true is not noted.
    """

    def __init__(self, names, passed_over=None):
        super().__init__()
        self.names, self.used = frozenset(names), []
        self.passed_over, self.depth = passed_over, 0  # of modules passed over, one in the other

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "").split(".")[0].removeprefix("special_")
        if name in self.names and not self.depth:
            self.used.append(f"PyTorch's {name}")
        return function(*args, **(kwargs or {}))

    def __enter__(self):
        super().__enter__()
        self.hooks = []
        if self.passed_over:
            self.hooks = [register_module_forward_pre_hook(self._enters), register_module_forward_hook(self._leaves)]
        self.before = sys.getprofile()
        sys.setprofile(self._on_event)
        return self

    def __exit__(self, *error):
        sys.setprofile(self.before)
        for hook in self.hooks:
            hook.remove()
        super().__exit__(*error)

    def _enters(self, module, _):
        self.depth += bool(self.passed_over(module))

    def _leaves(self, module, *_):
        self.depth -= bool(self.passed_over(module))

    def _on_event(self, frame, event, _):
        name = frame.f_code.co_qualname.split(".")[0]  # a method counts as its class
        if event == "call" and name in self.names and not self.depth:
            words = next((words for folder, words in FOLDERS.items() if frame.f_code.co_filename.startswith(folder)), 0)
            if words:
                self.used.append(words.format(name))
                sys.setprofile(self.before)  # once is enough, and to build a model under watch takes long
