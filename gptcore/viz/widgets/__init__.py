"""Explorers: move a control and see an idea move. Each is one call, such as `widgets.layer_norm_explorer()`.

Nothing else in gptcore imports this package: ipywidgets is loaded only where an explorer is shown.
"""

from gptcore.viz.widgets.ablation import ablation_explorer
from gptcore.viz.widgets.attention import attention_explorer
from gptcore.viz.widgets.feed_forward import feed_forward_explorer
from gptcore.viz.widgets.functions import activation_explorer, gelu_error_explorer
from gptcore.viz.widgets.generation import generation_explorer, sampling_explorer
from gptcore.viz.widgets.microscope import cut_explorer, lens_explorer, patch_explorer
from gptcore.viz.widgets.norms import layer_norm_explorer, norm_axis_explorer
from gptcore.viz.widgets.sizes import config_explorer, size_explorer
from gptcore.viz.widgets.stacks import gradient_explorer, residual_stream_explorer
from gptcore.viz.widgets.time_machine import time_machine_explorer
from gptcore.viz.widgets.tokens import token_explorer

__all__ = [
    "ablation_explorer",
    "activation_explorer",
    "attention_explorer",
    "config_explorer",
    "cut_explorer",
    "feed_forward_explorer",
    "gelu_error_explorer",
    "generation_explorer",
    "gradient_explorer",
    "layer_norm_explorer",
    "lens_explorer",
    "norm_axis_explorer",
    "patch_explorer",
    "residual_stream_explorer",
    "sampling_explorer",
    "size_explorer",
    "time_machine_explorer",
    "token_explorer",
]
