"""A GPT-2, from layer norm to the whole model, to be read from top to bottom.

Shapes are written `(batch, num_tokens, emb_dim)`. `num_tokens` may be anything from 1 to the
configuration's `context_length`.

    token ids -> token + position embedding -> n_layers x TransformerBlock -> LayerNorm -> out_head -> logits

Every module initialises its layers in the order in which its `__init__` creates them, so a seed determines
the model.

Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners" (GPT-2).

Other people's names for the same things:

    here              OpenAI and Hugging Face     the Transformer paper (Vaswani et al. 2017)
    emb_dim           n_embd                      d_model
    n_heads           n_head                      h
    n_layers          n_layer                     N
    context_length    n_ctx, n_positions          n
    W_query, W_key, W_value    c_attn (all three in one)    W^Q, W^K, W^V
    out_proj          attn.c_proj                 W^O
    FeedForward       mlp (c_fc, c_proj)          FFN
    norm1, norm2, final_norm   ln_1, ln_2, ln_f    LayerNorm
"""

import torch
from torch import nn
from torch.nn import functional as F

from gptcore.checks import check_count, check_features, check_number, check_token_ids
from gptcore.config import FEED_FORWARD_EXPANSION, validate_config
from gptcore.linear import Linear  # nn.Linear, quicker for a few tokens: notebook 12
from gptcore.pretrained import WithoutInitialValues, read_checkpoint


class LayerNorm(nn.Module):
    """Shift and stretch each token's vector to mean 0 and variance 1, then apply a learned scale and shift.

        scale * (x - mean) / sqrt(variance + eps) + shift

    The variance divides by `emb_dim`, not by `emb_dim - 1`: OpenAI's weights were trained that way.

    Shapes: (..., emb_dim) -> (..., emb_dim), each vector by itself.
    Raises: TypeError or ValueError when the input is not floating point with `emb_dim` features.
    Source: Ba et al. 2016, "Layer Normalization", equation 4. Notebook: 02_layer_norm.
    """

    def __init__(self, emb_dim):
        super().__init__()
        check_count("emb_dim", emb_dim, least=1)
        self.eps = 1e-5  # keeps the root away from 0 when all the numbers of a vector are equal
        self.scale = nn.Parameter(torch.ones(emb_dim))
        self.shift = nn.Parameter(torch.zeros(emb_dim))

    def forward(self, x):
        check_features(x, self.scale.numel())
        return F.layer_norm(x, self.scale.shape, self.scale, self.shift, self.eps)


class GELU(nn.Module):
    """A smooth ReLU: x times the probability that a standard normal number is below x, in its tanh form.

        0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))

    Shapes: any -> the same, number by number.
    Raises: TypeError when the input is not a floating-point tensor.
    Source: Hendrycks and Gimpel 2016, "Gaussian Error Linear Units", section 2. Notebook: 03_activations.
    """

    def forward(self, x):
        check_features(x)
        return F.gelu(x, approximate="tanh")


class FeedForward(nn.Module):
    """Widen each token's vector to 4 times its size, apply GELU, and shrink it back.

    Shapes: (batch, num_tokens, emb_dim) -> (batch, num_tokens, emb_dim), each token by itself.
    Raises: TypeError or ValueError when the input is not floating point with `emb_dim` features.
    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.3. Notebook: 04_feed_forward.
    """

    def __init__(self, cfg):
        super().__init__()
        cfg = validate_config(cfg)
        self.emb_dim = cfg["emb_dim"]
        hidden_dim = FEED_FORWARD_EXPANSION * self.emb_dim
        self.layers = nn.Sequential(
            Linear(self.emb_dim, hidden_dim),
            GELU(),
            Linear(hidden_dim, self.emb_dim),
        )

    def forward(self, x):
        check_features(x, self.emb_dim)
        return self.layers(x)


class MultiHeadAttention(nn.Module):
    """Let each token gather from itself and the tokens before it, in `num_heads` different ways at once.

        softmax(queries @ keys^T / sqrt(head_dim), the future masked out) @ values, for each head

    Shapes: (batch, num_tokens, d_in) -> (batch, num_tokens, d_out), num_tokens at most context_length.
    Raises: ValueError when num_heads does not divide d_out, or the input is too long or not d_in wide; TypeError for
    sizes that are not whole numbers, or an input that is not floating point.
    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.2. Notebook: 06_causal_attention.
    """

    def __init__(self, d_in, d_out, context_length, dropout, num_heads, qkv_bias=False):
        super().__init__()
        check_count("d_in", d_in, least=1)
        check_count("d_out", d_out, least=1)
        check_count("context_length", context_length, least=1)
        check_count("num_heads", num_heads, least=1)
        check_number("dropout", dropout, example="0.1")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout} must be from 0 up to, not including, 1")
        if d_out % num_heads:
            raise ValueError(f"d_out={d_out} cannot be split into num_heads={num_heads} equal parts; change one")
        self.d_in = d_in
        self.context_length = context_length
        self.dropout = float(dropout)
        self.num_heads = num_heads
        self.W_query = Linear(d_in, d_out, bias=qkv_bias)
        self.W_key = Linear(d_in, d_out, bias=qkv_bias)
        self.W_value = Linear(d_in, d_out, bias=qkv_bias)
        self.out_proj = Linear(d_out, d_out)

    def forward(self, x, remember=None):
        check_features(x, self.d_in)
        if x.ndim != 3 or x.shape[1] > self.context_length:
            raise ValueError(
                f"expected (batch, num_tokens, {self.d_in}) with at most {self.context_length} tokens, "
                f"got {tuple(x.shape)}; crop the text or raise context_length"
            )
        queries, keys, values = (self.split_heads(W(x)) for W in (self.W_query, self.W_key, self.W_value))
        if remember is not None:
            keys, values = remember(keys, values)  # and those of all tokens before them, from a KVCache
        num_new, num_seen = queries.shape[2], keys.shape[2]
        mask = None  # a single new token may look at all that came before it
        if 1 < num_new < num_seen:
            mask = torch.ones(num_new, num_seen, dtype=torch.bool, device=x.device).tril(num_seen - num_new)
        context = F.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=num_new == num_seen,
        )
        return self.out_proj(context.transpose(1, 2).flatten(2))  # heads side by side: (batch, num_tokens, d_out)

    def split_heads(self, x):
        """Cut each vector into heads: (batch, num_tokens, d_out) -> (batch, num_heads, num_tokens, head_dim)."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class TransformerBlock(nn.Module):
    """Attention mixes the tokens, feed-forward works on each; both add to a stream that runs past them.

        x = x + dropout(att(norm1(x)))
        x = x + dropout(ff(norm2(x)))

    Shapes: (batch, num_tokens, emb_dim) -> (batch, num_tokens, emb_dim).
    Raises: as LayerNorm and MultiHeadAttention.
    Source: Radford et al. 2019 (GPT-2), section 2.3: the norm before each part. Notebook: 07_transformer_block.
    """

    def __init__(self, cfg):
        super().__init__()
        cfg = validate_config(cfg)
        self.att = MultiHeadAttention(
            d_in=cfg["emb_dim"],
            d_out=cfg["emb_dim"],
            context_length=cfg["context_length"],
            dropout=cfg["drop_rate"],
            num_heads=cfg["n_heads"],
            qkv_bias=cfg["qkv_bias"],
        )
        self.ff = FeedForward(cfg)
        self.norm1 = LayerNorm(cfg["emb_dim"])
        self.norm2 = LayerNorm(cfg["emb_dim"])
        self.drop_shortcut = nn.Dropout(cfg["drop_rate"])

    def forward(self, x, remember=None):
        x = x + self.drop_shortcut(self.att(self.norm1(x), remember))
        x = x + self.drop_shortcut(self.ff(self.norm2(x)))
        return x


class GPTModel(nn.Module):
    """The whole GPT: for each position, a score for every token that could come next.

    With a `KVCache`, in_idx holds only the tokens that come after those in the cache.

    Shapes: in_idx (batch, num_tokens), whole numbers -> logits (batch, num_tokens, vocab_size).
    Raises: TypeError or ValueError for token ids that are not whole numbers from 0 to vocab_size - 1,
    not 2-D, none at all, or more than context_length; and for a `cfg` that cannot work.
    Source: Radford et al. 2019 (GPT-2), section 2.3. Notebook: 08_gpt_model.
    """

    def __init__(self, cfg):
        super().__init__()
        cfg = self.cfg = validate_config(cfg)
        self.tok_emb = nn.Embedding(cfg["vocab_size"], cfg["emb_dim"])
        self.pos_emb = nn.Embedding(cfg["context_length"], cfg["emb_dim"])
        self.drop_emb = nn.Dropout(cfg["drop_rate"])
        self.trf_blocks = nn.ModuleList(TransformerBlock(cfg) for _ in range(cfg["n_layers"]))
        self.final_norm = LayerNorm(cfg["emb_dim"])
        self.out_head = Linear(cfg["emb_dim"], cfg["vocab_size"], bias=False)

    @classmethod
    def from_pretrained(cls, source):
        """Return a model, in eval mode, with published weights.

        `source` is "gpt2", "gpt2-medium", "gpt2-large" or "gpt2-xl" (fetched once from the Hugging Face hub),
        "stories" (a small model that ships with gptcore), or a folder with config.json and model.safetensors
        as transformers writes them.

        For those larger than "gpt2" it first warns of the time and memory that they take.
        Raises: ConnectionError without a network; TypeError or ValueError, before anything is loaded, for what does
        not fit.
        Notebook: 11_gpt2_weights.
        """
        cfg, is_tied, state_dict = read_checkpoint(source)
        # Shapes alone: the file's tensors take their places. A subclass may make buffers of its own, which stay.
        with torch.device("meta" if cls is GPTModel else "cpu"), WithoutInitialValues():
            model = cls(cfg)
        model.load_state_dict(state_dict, assign=True)
        return (model.tie_weights() if is_tied else model).eval()

    def forward(self, in_idx, cache=None):
        return self.out_head(self.hidden_states(in_idx, cache))  # (batch, num_tokens, vocab_size)

    def hidden_states(self, in_idx, cache=None):
        """All but the output head: (batch, num_tokens) -> (batch, num_tokens, emb_dim)."""
        check_token_ids(in_idx, self.cfg["vocab_size"], self.cfg["context_length"])
        start, num_new = 0, in_idx.shape[1]
        if cache is not None:
            cache.check_room(num_new, self)
            start = cache.num_tokens
        positions = torch.arange(start, start + num_new, device=in_idx.device)
        x = self.tok_emb(in_idx) + self.pos_emb(positions)  # (batch, num_tokens, emb_dim)
        x = self.drop_emb(x)
        for block_index, block in enumerate(self.trf_blocks):
            x = block(x) if cache is None else block(x, cache.memory_of(block_index))
        if cache is not None:
            cache.num_tokens += num_new  # here, when all blocks have theirs
        return self.final_norm(x)

    def tie_weights(self):
        """Make the output head use the token embedding's weights, as OpenAI's GPT-2 does; returns the model.

        One tensor with two names: vocab_size * emb_dim parameters fewer.
        Source: Press and Wolf 2017, "Using the Output Embedding to Improve Language Models".
        """
        self.out_head.weight = self.tok_emb.weight
        return self
