"""A learner's own GPT beside gptcore's: two whole ones that are right, and each fault that people make, planted."""

import re

import pytest
import torch
from own_gpts import SOLVER, SOMEBODY_ELSE, parts_of

import gptcore
from gptcore import GPTModel, story_loss, story_token_ids, tell_story, token_batches, write_stories
from gptcore.exercises import EXERCISES, check, notebook_14, own_gpt, passes
from gptcore.exercises.checking import NotAnswered, Wrong, each_mistake
from gptcore.exercises.notebook_14 import points, train_on_budget
from gptcore.exercises.own_gpt import BEGINNING, diagnose, put_together

VARIANCE = "x.var(dim=-1, keepdim=True, unbiased=False)"
MEAN = "x.mean(dim=-1, keepdim=True)"
ROOT = "torch.sqrt(variance + self.eps)"
NORMED = f"self.scale * (x - mean) / {ROOT} + self.shift"
BEND = "0.5 * x * (1 + torch.tanh(inner))"
CUBE = "math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)"
FF = "self.shrink(self.bend(self.widen(x)))"
FUTURE = "torch.ones(num_tokens, num_tokens, dtype=torch.bool).triu(diagonal=1)"
MASKED = "scores.masked_fill(future, -torch.inf)"
SOFTMAX = "weights = self.dropout(scores.softmax(dim=-1))"
SCALED = "q @ k.transpose(2, 3) / math.sqrt(emb_dim // self.num_heads)"
CUT = "W(x).view(cut).transpose(1, 2)"
MERGED = "(weights @ v).transpose(1, 2).reshape"
VALUES = "(W(x).view(cut).transpose(1, 2) for W in (self.W_query, self.W_key, self.W_value))"
FIRST = "x = x + self.drop(self.att(self.norm1(x)))"
SECOND = "x = x + self.drop(self.ff(self.norm2(x)))"
NORM2 = 'self.norm2 = MyLayerNorm(cfg["emb_dim"])'
ENTERS = "self.tok_emb(in_idx) + self.pos_emb(positions)"
POSITIONS = "torch.arange(in_idx.shape[1])"
BLOCKS = "x = block(x)"
MADE = 'nn.ModuleList([MyBlock(cfg) for _ in range(cfg["n_layers"])])'
HEAD = "return self.out_head(x)"
LAST = "model(idx[:, -context_size:])[:, -1, :]"
CHOSEN = "last_logits.argmax(dim=-1, keepdim=True)"

# The fault: what is exchanged in the solver's text, the part to be named, the place, and words of the reason.
N, G, F, A, B, M, W = "MyLayerNorm", "MyGELU", "MyFeedForward", "MyAttention", "MyBlock", "MyGPT", "my_generate"
NORM_PLACE, BEND_PLACE = "norm1 of block 0", "the bend in the feed-forward layer of block 0"
FF_PLACE, ATT_PLACE = "the feed-forward layer of block 0", "the attention of block 0"
FAULTS = {
    "n - 1": (VARIANCE, "x.var(dim=-1, keepdim=True)", N, NORM_PLACE, "divides by n - 1"),
    "no eps": (ROOT, "torch.sqrt(variance)", N, "MyLayerNorm alone", "eps is missing"),
    "eps outside": (ROOT, "(torch.sqrt(variance) + self.eps)", N, "MyLayerNorm alone", "eps stands outside"),
    "other eps": ("self.eps = 1e-5", "self.eps = 1e-8", N, "MyLayerNorm alone", "your eps is 1e-08"),
    "no root": (ROOT, "(variance + self.eps)", N, NORM_PLACE, "the root is missing"),
    "no scale": ("self.scale * (x", "(x", N, NORM_PLACE, "scale is forgotten"),
    "no shift": (f"{ROOT} + self.shift", ROOT, N, NORM_PLACE, "shift is forgotten"),
    "neither": (NORMED, f"(x - mean) / {ROOT}", N, NORM_PLACE, "scale and shift are forgotten"),
    "over the tokens": ((VARIANCE, VARIANCE.replace("-1", "-2")), (MEAN, MEAN.replace("-1", "-2")), N, NORM_PLACE,
                        "over the tokens' axis"),
    "over all": ((VARIANCE, "x.var(unbiased=False)"), (MEAN, "x.mean()"), N, NORM_PLACE, "over everything at once"),
    "mean left": ("(x - mean)", "x", N, NORM_PLACE, "the mean is not taken away"),
    "n - 1 and no shift": ((VARIANCE, "x.var(dim=-1, keepdim=True)"), (f"{ROOT} + self.shift", ROOT), N, NORM_PLACE,
                           "n - 1 in the variance; divide by n: unbiased=False; and shift is forgotten"),
    "erf": (BEND, "nn.functional.gelu(x)", G, BEND_PLACE, "exact GELU, with erf"),
    "relu": (BEND, "torch.relu(x)", G, BEND_PLACE, "a ReLU"),
    "identity": (BEND, "x", G, BEND_PLACE, "there is no bend"),
    "half forgotten": (BEND, BEND.removeprefix("0.5 * "), G, BEND_PLACE, "0.5 in front"),
    "no cube": (CUBE, "math.sqrt(2 / math.pi) * x", G, BEND_PLACE, "0.044715 * x**3 is missing"),
    "no root of 2 / pi": (CUBE, "(x + 0.044715 * x**3)", G, BEND_PLACE, "sqrt(2 / pi) is missing"),
    "the one forgotten": (BEND, "0.5 * x * torch.tanh(inner)", G, BEND_PLACE, "the 1 that is added"),
    "silu": (BEND, "nn.functional.silu(x)", G, BEND_PLACE, "SiLU"),
    "bend not used": (FF, "self.shrink(self.widen(x))", F, FF_PLACE, "there is no bend"),
    "bend last": (FF, "self.bend(self.shrink(self.widen(x)))", F, FF_PLACE, "the bend comes after the second"),
    "relu inside": (FF, "self.shrink(torch.relu(self.widen(x)))", F, FF_PLACE, "a ReLU"),
    "shortcut inside": (FF, f"x + {FF}", F, FF_PLACE, "it adds its input"),
    "no mask": (MASKED, "scores", A, ATT_PLACE, "the mask is missing"),
    "sees the next": ("diagonal=1", "diagonal=2", A, ATT_PLACE, "lets a token see the next one"),
    "not itself": ("diagonal=1", "diagonal=0", A, ATT_PLACE, "hides the token from itself"),
    "not itself, large number": ((FUTURE, FUTURE.replace("=1", "=0")), (MASKED, MASKED.replace("-torch.inf", "-1e9")),
                                 A, ATT_PLACE, "hides the token from itself"),
    "the past masked": (FUTURE, FUTURE.replace("triu(diagonal=1)", "tril(-1)"), A, ATT_PLACE, "hides the past"),
    "mask of zeros": (MASKED, "scores.masked_fill(future, 0.0)", A, ATT_PLACE, "writes 0 into the scores"),
    "mask after softmax": ((MASKED, "scores"), (SOFTMAX, f"{SOFTMAX}.masked_fill(future, 0.0)"), A, ATT_PLACE,
                           "the mask comes after the softmax"),
    "no softmax": ((MASKED, "scores.masked_fill(future, 0.0)"), (SOFTMAX, "weights = scores"), A, ATT_PLACE,
                   "the softmax is missing"),
    "softmax of columns": (SOFTMAX, "weights = scores.softmax(dim=-2)", A, ATT_PLACE, "over the tokens that look"),
    "softmax of heads": (SOFTMAX, "weights = scores.softmax(dim=1)", A, ATT_PLACE, "over the heads"),
    "not divided": (SCALED, "q @ k.transpose(2, 3)", A, ATT_PLACE, "are not divided by the root of head_dim"),
    "root of emb_dim": (SCALED, "q @ k.transpose(2, 3) / math.sqrt(emb_dim)", A, ATT_PLACE, "the root of emb_dim"),
    "head_dim": (SCALED, "q @ k.transpose(2, 3) / (emb_dim // self.num_heads)", A, ATT_PLACE, "by head_dim; it is"),
    "heads by view": ((CUT, "W(x).view(batch, self.num_heads, num_tokens, -1)"), (MERGED, "(weights @ v).reshape"), A,
                      ATT_PLACE, "the heads are cut wrongly"),
    "heads back by view": (MERGED, "(weights @ v).reshape", A, ATT_PLACE, "put together wrongly"),
    "heads interleaved": (CUT, "W(x).view(batch, num_tokens, -1, self.num_heads).permute(0, 3, 1, 2)", A, ATT_PLACE,
                          "the heads are cut wrongly"),
    "one head": ("self.num_heads = num_heads", "self.num_heads = 1", A, ATT_PLACE, "with 1 head instead"),
    "no out_proj": ("return self.out_proj(context)", "return context", A, ATT_PLACE, "out_proj is forgotten"),
    "q and k exchanged": ("scores = q @ k", "scores = k @ q", A, ATT_PLACE, "queries and keys are exchanged"),
    "values of keys": ("self.W_key, self.W_value)", "self.W_key, self.W_key)", A, ATT_PLACE, "come from W_key"),
    "no mask, not divided": ((MASKED, "scores"), (SCALED, "q @ k.transpose(2, 3)"), A, ATT_PLACE,
                             "the mask is missing: a token sees all that come after it; and the scores are not"),
    "no first shortcut": (FIRST, FIRST.replace("x + ", ""), B, "what goes into norm2 of block 0",
                          "the shortcut around attention is forgotten"),
    "no second shortcut": (SECOND, SECOND.replace("x + ", ""), B, "block 0",
                           "the shortcut around feed-forward is forgotten"),
    "no shortcuts": ((FIRST, FIRST.replace("x + ", "")), (SECOND, SECOND.replace("x + ", "")), B,
                     "what goes into norm2 of block 0", "around attention is forgotten: add what came in; and the sh"),
    "shortcut from the normed": (FIRST, "x = self.norm1(x); x = x + self.att(x)", B, "what goes into norm2 of block 0",
                                 "around attention starts from the normed stream"),
    "second from the normed": (SECOND, "x = self.norm2(x); x = x + self.ff(x)", B, "block 0",
                               "around feed-forward starts from the normed stream"),
    "norms after": ((FIRST, "x = self.norm1(x + self.att(x))"), (SECOND, "x = self.norm2(x + self.ff(x))"), B,
                    "what goes into norm1 of block 0", "norm1 comes after attention and its sum"),
    "norm after the part": (FIRST, "x = x + self.norm1(self.att(x))", B, "what goes into norm1 of block 0",
                            "norm1 comes after attention; it belongs before"),
    "first norm forgotten": (FIRST, "x = x + self.att(x)", B, "norm1 of block 0", "norm1 is forgotten"),
    "norm1 twice": (SECOND, SECOND.replace("norm2", "norm1"), B, "norm2 of block 0",
                    "norm1 stands before feed-forward"),
    "one norm for both": (NORM2, "self.norm2 = self.norm1", B, "where the weights are loaded", "one and the same"),
    "halves exchanged": ((FIRST, "0"), (SECOND, f"{SECOND}; {FIRST}"), B, "what goes into norm1 of block 0",
                         "the two halves are"),
    "both at once": ((FIRST, "y = x + self.att(self.norm1(x))"), (SECOND, "x = y + self.ff(self.norm2(x))"), B,
                     "what goes into norm2 of block 0", "both halves read what came into the block"),
    "attention forgotten": (FIRST, "pass", B, "norm1 of block 0", "attention is forgotten"),
    "no final norm": ("x = self.final_norm(x)", "pass", M, "the final norm", "the final norm is forgotten"),
    "norm thrown away": ("x = self.final_norm(x)", "self.final_norm(x)", M, "what goes into the output head",
                         "or its result thrown away"),
    "no positions": (ENTERS, "self.tok_emb(in_idx)", M, "what goes into block 0", "the positions are forgotten"),
    "positions from 1": (POSITIONS, "torch.arange(1, in_idx.shape[1] + 1)", M, "what goes into block 0", "off by one"),
    "positions of texts": (POSITIONS, "torch.arange(in_idx.shape[0]).unsqueeze(1)", M, "what goes into block 0",
                           "count the texts of the batch"),
    "head forgotten": (HEAD, "return x", M, "the output head", "the output head is forgotten"),
    "head tied": (HEAD, "return x @ self.tok_emb.weight.T", M, "the output head", "the token embedding's weights"),
    "head tied for good": ('["vocab_size"], bias=False)', '["vocab_size"], bias=False)\n'
                           "        self.out_head.weight = self.tok_emb.weight", M, "where the weights are loaded",
                           "is tied to tok_emb"),
    "probabilities": (HEAD, "return self.out_head(x).softmax(dim=-1)", M, "the logits", "without a softmax"),
    "last position only": (HEAD, "return self.out_head(x[:, -1])", M, "what goes into the output head",
                           "the last position's scores only"),
    "blocks without effect": (BLOCKS, "block(x)", M, "what goes into block 1", "the blocks change nothing"),
    "embeddings for each": (BLOCKS, "y = block(x)", M, "what goes into block 1", "the blocks change nothing"),
    "backwards": ("in self.trf_blocks:", "in self.trf_blocks[::-1]:", M, "what goes into block 0", "opposite order"),
    "one block for all": (MADE, 'nn.ModuleList([MyBlock(cfg)] * cfg["n_layers"])', M, "where the weights are loaded",
                          "the same block"),
    "a plain list": (MADE, MADE.removeprefix("nn.ModuleList(").removesuffix(")"), M, "where the weights are loaded",
                     "nn.ModuleList"),
    "biases not passed on": ("cfg['qkv_bias']".replace("'", '"'), "False", B, "where the weights are loaded",
                             "Pass qkv_bias on"),
    "heads not passed on": ('cfg["n_heads"]', "2", B, ATT_PLACE, "works with 2 heads"),
    "dropout in eval": ("self.drop(self.att", "nn.functional.dropout(self.att", B, "what goes into norm2 of block 0",
                        "something else each time"),
    "sampling": (CHOSEN, "last_logits.softmax(-1).multinomial(1)", W, "my_generate", "it draws the next token"),
    "first position": (LAST, "model(idx[:, -context_size:])[:, 0, :]", W, "my_generate", "the first position's"),
    "before the last": (LAST, "model(idx[:, -context_size:])[:, -2, :]", W, "my_generate", "before the last one"),
    "not cropped": (LAST, "model(idx)[:, -1, :]", W, "my_generate", "more than context_size tokens"),
    "cropped in front": (LAST, "model(idx[:, :context_size])[:, -1, :]", W, "my_generate", "the first tokens"),
    "argmin": (CHOSEN, "last_logits.argmin(dim=-1, keepdim=True)", W, "my_generate", "the lowest score"),
    "last token only": (LAST, "model(idx[:, -1:])[:, -1, :]", W, "my_generate", "not given all of the last"),
    "one too few": ("in range(max_new_tokens)", "in range(max_new_tokens - 1)", W, "my_generate", "the shape (2, 8)"),
    "new ones only": ("return idx", "return idx[:, -max_new_tokens:]", W, "my_generate", "the new tokens only"),
    "in front": ("torch.cat((idx, winners)", "torch.cat((winners, idx)", W, "my_generate", "before the old ones"),
}  # fmt: skip


def planted(*fault):
    """Return the solver's parts with one fault."""
    *exchanges, part, place, reason = fault
    if isinstance(exchanges[0], str):
        exchanges = [tuple(exchanges)]
    return parts_of(SOLVER, *exchanges), part, place, reason


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_where_it_is(fault, monkeypatch):
    monkeypatch.setattr(own_gpt, "NUM_TOKENS", 4)  # a shorter story takes less time
    parts, part, place, reason = planted(*FAULTS[fault])
    found = diagnose(parts)
    assert not found.same
    assert (found.part, found.place) == (part, place), found.text
    assert reason in found.reason, found.text
    assert found.reason in found.text
    assert set(found.alone) <= {part}, "a part that is right was accused"


@pytest.mark.parametrize("text", [SOLVER, SOMEBODY_ELSE], ids=["the solver", "somebody else"])
def test_two_people_who_are_right_write_gptcores_story(text):
    parts = parts_of(text)
    found = diagnose(parts)
    assert found.same and found.alone == {} and set(found.whose.values()) == {"yours"}, found.text
    assert found.story == tell_story(GPTModel.from_pretrained("stories"), BEGINNING, own_gpt.NUM_TOKENS)
    assert story_loss(put_together(parts)) == pytest.approx(story_loss(GPTModel.from_pretrained("stories")), abs=1e-4)


# In the other style, two things at once, or something that nobody has thought of.
OTHERS = {
    "last block's norm": (SOMEBODY_ELSE, ("self.trf_blocks(self", "self.late(self"), (
        "    def forward(self, ids):",
        """    def late(self, x):
        for block in self.trf_blocks[:-1]:
            x = block(x)
        last = self.trf_blocks[-1]
        x = x + last.att(x - x.mean(-1, keepdim=True))
        return x + last.ff(last.norm2(x))

    def forward(self, ids):"""), M, "block 3", ""),
    "mask of somebody else": (SOMEBODY_ELSE, ("triu(1)", "triu(2)"), A, ATT_PLACE, "see the next one"),
    "eps of somebody else": (SOMEBODY_ELSE, ("eps=1e-5", "eps=1e-3"), N, NORM_PLACE, "your eps is 0.001"),
    "an odd norm": (SOLVER, (MEAN, f"0.5 * {MEAN}"), N, NORM_PLACE, ""),
    "an odd bend": (SOLVER, ("0.044715", "0.07"), G, BEND_PLACE, ""),
    "an odd mask": (SOLVER, ("triu(diagonal=1)", "triu(diagonal=3)"), A, ATT_PLACE, "lets tokens see what comes after"),
    "an odd block": (SOLVER, (SECOND, SECOND.replace("x + ", "x + 0.5 * ")), B, "block 0", ""),
    "an odd model": (SOLVER, (HEAD, "return 2 * self.out_head(x)"), M, "the logits", ""),
    "one odd norm": (SOLVER, (NORM2, f"{NORM2}; self.norm2.eps = 0.5"), B, "norm2 of block 0", ""),
    "an odd loop": (SOLVER, (CHOSEN, "last_logits.argmax(dim=-1, keepdim=True) + 1"), W, "my_generate", ""),
}  # fmt: skip


@pytest.mark.parametrize("fault", OTHERS)
def test_what_nobody_has_thought_of_gets_a_place_and_no_reason(fault, monkeypatch):
    monkeypatch.setattr(own_gpt, "NUM_TOKENS", 4)
    text, *exchanges, part, place, reason = OTHERS[fault]
    found = diagnose(parts_of(text, *exchanges))
    assert (found.part, found.place) == (part, place), found.text
    assert reason in found.reason and bool(reason) == bool(found.reason), found.text


def test_a_part_that_the_model_does_not_use_is_named():
    right, other = parts_of(SOLVER), parts_of(SOLVER, ("diagonal=1", "diagonal=2"))
    found = diagnose({**right, A: other[A]})
    assert (found.part, found.place) == (A, "MyAttention alone")
    assert "does not use your MyAttention, which alone is not: your mask lets a token see the next one" in found.text
    found = diagnose({**right, G: parts_of(SOLVER)[G]})
    assert found.same and "(It does without your MyGELU.)" in found.text


def test_of_two_faulty_parts_the_first_is_named_and_the_other_too():
    found = diagnose(parts_of(SOLVER, ("diagonal=1", "diagonal=2"), (BEND, "torch.relu(x)")))
    assert (found.part, found.place) == (A, ATT_PLACE)
    assert "MyGELU alone differs, too: yours is a ReLU" in found.text
    assert re.match(r'The stories part at token \d+: after ".+" yours writes ".+", gptcore ".+"\.\n', found.text)


def test_a_part_that_is_missing_is_gptcores_and_holds_the_learners_parts():
    parts = parts_of(SOLVER, (VARIANCE, "x.var(dim=-1, keepdim=True)"))
    found = diagnose({N: parts[N], W: ...})
    assert (found.part, found.place) == (N, NORM_PLACE)
    assert "Yours: MyLayerNorm; gptcore's: MyGELU," in found.text
    found = diagnose({**parts, N: gptcore.LayerNorm})  # but the learner's block has another one
    assert (found.part, found.place) == (B, NORM_PLACE) and "divides by n - 1" in found.reason
    around = {name: part for name, part in parts_of(SOLVER, (CUBE, "x")).items() if name in (G, M)}
    assert diagnose(around).part == G


@pytest.mark.parametrize(
    ("exchange", "part", "words"),
    [
        (("self.W_key", "self.K"), A, "it needs a layer named self.W_key; the names there are: W_query, K, "),
        (("self.scale =", "self.factor ="), N, "it needs a layer named self.scale; the names there are: "),
        (("4 * cfg", "2 * cfg"), F, "from emb_dim to 4 * emb_dim, and back"),
        (("self.final_norm", "self.last_norm"), M, "it needs a layer named self.final_norm"),
        (("bias=False)\n", "bias=True)\n"), M, "it has out_head.bias, for which there are no weights. Is it bia"),
        (("return self.out_proj(context)", "self.out_proj(context)"), A, "the `return` is missing"),
        ((MERGED, "(weights @ v).no_such_thing"), A, "'Tensor' object has no attribute 'no_such_thing', "
         'in your line "context = (weights @ v).no_such_thing'),
        ((MERGED, "__import__('numpy').broadcast_to(weights, 3)"), A, 'in your line "context = __import__('),
        (("return x\n", "raise NotImplementedError\n"), B, "it is not written yet"),
        (("mean = x", "x += 1; mean = x"), N, "it changes the tensor that it is given"),
        (("return self.out_proj(context)", "return context.tolist()"), A, "it returns list, not a tensor"),
        (("def my_generate(model, idx, max_new_tokens, context_size)", "def my_generate(model, idx)"), W, "TypeError"),
    ],
)  # fmt: skip
def test_what_does_not_fit_or_run_is_said(exchange, part, words):
    found = diagnose(parts_of(SOLVER, exchange))
    assert not found.same and found.part == part and words in found.text, found.text


def test_what_is_no_answer_is_refused_or_not_answered_yet():
    for nothing in ({}, {N: None}, {"MyGPT": GPTModel, "my_generate": gptcore.generate_text_simple}):
        with pytest.raises(NotAnswered, match="every part is gptcore's"):
            diagnose(nothing)
    for odd, words in [([], "a dictionary"), ({"Norm": int}, "no part called 'Norm'"), ({N: int}, "to be a class"),
                       ({W: 3}, "to be a function"), ({1: GPTModel}, "no part called '1'")]:  # fmt: skip
        with pytest.raises(Wrong, match=words):
            diagnose(odd)


def test_the_learners_random_numbers_and_gptcores_model_stay_as_they_are():
    torch.manual_seed(5)
    expected = torch.rand(3)
    before = {name: weights.clone() for name, weights in own_gpt.story_model().named_parameters()}
    torch.manual_seed(5)
    diagnose(parts_of(SOLVER, (CHOSEN, "last_logits.softmax(-1).multinomial(1)")))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(weights, before[name]) for name, weights in own_gpt.story_model().named_parameters())


def test_weights_that_do_not_fit_are_refused_where_a_model_is_put_together():
    assert put_together({}).cfg == GPTModel.from_pretrained("stories").cfg | {"drop_rate": own_gpt.DROP_RATE}
    with pytest.raises(ValueError, match="in MyGPT: it needs a layer named"):
        put_together(parts_of(SOLVER, ("self.final_norm", "self.last_norm")))


# How a function that answers an earlier exercise becomes the forward of a part.
AS_A_PART = {
    "02.1": (N, lambda f: lambda self, x: f(x, self.scale, self.shift, self.eps)),
    "03.1": (G, lambda f: lambda self, x: f(x)),
    "04.2": (F, lambda f: lambda self, x: f(
        x, self.widen.weight, self.widen.bias, self.shrink.weight, self.shrink.bias)),
    "06.4": (A, lambda f: lambda self, x: self.out_proj(
        f(self.W_query(x), self.W_key(x), self.W_value(x), self.num_heads))),
    "07.2": (B, lambda f: lambda self, x: f(x, self.norm1, self.att, self.norm2, self.ff, self.drop)),
    "08.5": (M, lambda f: lambda self, ids: f(
        ids, self.tok_emb, self.pos_emb, self.trf_blocks, self.final_norm, self.out_head)),
    "09.1": (W, lambda f: f),
}  # fmt: skip
TYPICAL = [
    (name, answer, said)
    for name in AS_A_PART
    for answer, said in each_mistake(EXERCISES[name].mistakes)
    if callable(answer)
]


# In this model, in eval mode, they give the same numbers up to rounding: nothing is to be found, or accused.
MAKE_NO_DIFFERENCE = re.compile(
    r"^The block is right but for dropout|^Your dropout|^Dropout is missing|far from 0|eps is always 0\.00001|"
    r"by 0\.0447;|by 0\.04471;|infinite in float32|Here it may be wider"
)


@pytest.mark.parametrize(("name", "answer", "said"), TYPICAL, ids=[f"{name}-{said}" for name, _, said in TYPICAL])
def test_what_is_wrong_in_an_earlier_exercise_is_found_in_the_part(name, answer, said, monkeypatch):
    monkeypatch.setattr(own_gpt, "NUM_TOKENS", 4)
    part, forward_of = AS_A_PART[name]
    parts = parts_of(SOLVER)
    if part == W:
        parts[W] = answer
    else:
        parts[part].forward = forward_of(answer)
    found = diagnose(parts)
    assert found.part == ("" if MAKE_NO_DIFFERENCE.search(said) else part), f"{said}\n{found.text}"
    assert set(found.alone) <= {part}, "a part that is right was accused"


RENAMED = "from torch.nn.functional import gelu as my_bend\nfrom gptcore import MultiHeadAttention as Looking\n"
WRAPPED = """
class {name}(nn.Module):
    def __init__(self, *sizes, **more):
        super().__init__()
        self.inside = {made}(*sizes, **more)

    def forward(self, x):
        return self.inside(x)

    def __getattr__(self, name):
        return super().__getattr__(name) if name == "inside" else getattr(self.inside, name)
"""


def handed_in(more, text=SOLVER):
    """Return somebody's six parts, with what stands at the end in place of what stands before."""
    parts = parts_of(text + more)
    del parts[W]
    return parts


# Parts whose work is done by something else, under whatever name; which part that is, and what does it.
READY_MADE = {
    "PyTorch's norm": ("\nMyLayerNorm = nn.LayerNorm", N, "nn.LayerNorm"),
    "inherited": ("\nclass MyLayerNorm(nn.LayerNorm):\n    pass", N, "nn.LayerNorm"),
    "PyTorch's GELU, renamed": (f"\n{RENAMED}\nclass MyGELU(nn.Module):\n    def forward(self, x):\n"
                                "        return my_bend(x, approximate='tanh')", G, "PyTorch's gelu"),
    "partly": ("\nclass MyGELU(nn.GELU):\n    def forward(self, x):\n        return super().forward(x)\n"
               "OldGELU = MyGELU\nMyGELU = lambda: OldGELU('tanh')\n"
               "class MyGELU(OldGELU):\n    def __init__(self):\n        super().__init__('tanh')", G, "nn.GELU"),
    "fused attention": ("\nclass MyAttention(MyAttention):\n    def forward(self, x):\n"
                        "        cut = (*x.shape[:2], self.num_heads, -1)\n"
                        "        q, k, v = (W(x).view(cut).transpose(1, 2) for W in"
                        " (self.W_query, self.W_key, self.W_value))\n"
                        "        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)\n"
                        "        return self.out_proj(y.transpose(1, 2).flatten(2))", A,
                        "PyTorch's scaled_dot_product_attention"),
    "gptcore's attention, wrapped": (f"\n{RENAMED}" + WRAPPED.format(name=A, made="Looking"), A,
                                     "gptcore's MultiHeadAttention"),
    "gptcore's block, subclassed": ("\nclass MyBlock(gptcore.TransformerBlock):\n    def forward(self, x):\n"
                                    "        return super().forward(x)", B, "gptcore's TransformerBlock"),
    "gptcore's norm, its formula anew": ("\nclass MyLayerNorm(gptcore.LayerNorm):\n    def forward(self, x):\n"
                                         "        x = x - x.mean(-1, keepdim=True)\n        return self.scale * x / "
                                         "(x.square().mean(-1, keepdim=True) + self.eps).sqrt() + self.shift", N,
                                         "gptcore's LayerNorm"),
    "gptcore's feed-forward, wrapped": (WRAPPED.format(name=F, made="gptcore.FeedForward"), F, "gptcore's FeedForward"),
    "gptcore's GPT, wrapped": (WRAPPED.format(name=M, made="gptcore.GPTModel"), M, "gptcore's GPTModel"),
    "a norm in a block": ("\nclass MyBlock(MyBlock):\n    def __init__(self, cfg):\n        super().__init__(cfg)\n"
                          "        self.norm1 = nn.LayerNorm(cfg['emb_dim'])", B, "nn.LayerNorm"),
}  # fmt: skip


@pytest.mark.parametrize("case", READY_MADE)
def test_a_part_that_is_ready_made_is_named_and_does_not_count(case, monkeypatch, capsys):
    monkeypatch.setattr(own_gpt, "NUM_TOKENS", 4)
    more, part, what = READY_MADE[case]
    parts = handed_in(more)
    if part != M:  # a whole GPT of gptcore's does not run with others' blocks inside
        check("14.1", parts)
        said = capsys.readouterr().out
        assert said.startswith("✓ 14.1 solved") and f"does not count as yours: {part} is the work of {what}" in said
        assert f"ready-made: {part}.\n" in said and f"Still to write: {part}." in said
        assert points("14.1", parts) == 2.5
    check("14.1", {part: parts[part]})
    said = capsys.readouterr().out
    assert said.startswith("✗ 14.1 not yet.") and f"{part} is the work of {what}" in said


@pytest.mark.parametrize("text", [SOLVER, SOMEBODY_ELSE], ids=["the solver", "somebody else"])
def test_parts_of_ones_own_count_also_with_gptcores_around_and_in_them(text, monkeypatch):
    monkeypatch.setattr(own_gpt, "NUM_TOKENS", 4)
    parts = handed_in("", text)
    assert points("14.1", parts) == 3.0
    for name in own_gpt.CLASSES:
        assert own_gpt.ready_made_in({name: parts[name]}) == {} and points("14.1", {name: parts[name]}) == 0.5
    left_out = handed_in("\nMyLayerNorm, MyGELU = gptcore.LayerNorm, gptcore.GELU", text)  # and used by what is there
    assert own_gpt.ready_made_in(left_out) == {} and points("14.1", left_out) == 2.0


def test_writing_is_not_left_to_gptcore(capsys):
    check("14.2", gptcore.generate_text_simple)
    assert "gptcore's generate_text_simple makes it, ready-made" in capsys.readouterr().out
    assert not passes("14.2", gptcore.generate_text_simple) and passes("14.2", parts_of(SOMEBODY_ELSE)[W])


def shipped(**attributes):
    model = GPTModel.from_pretrained("stories")
    vars(model).update(attributes)
    return model


def test_two_minutes_of_training_are_two_minutes_of_work(capsys, monkeypatch):
    another = GPTModel(shipped().cfg)  # so that the shipped weights count as the student's own
    monkeypatch.setattr(notebook_14, "story_model", lambda: another)
    check("14.3", shipped())
    assert "Nobody knows how long it was trained" in capsys.readouterr().out
    check("14.3", shipped(seconds_trained=131.0))
    assert "trained for 131 seconds of a usual core. The goals are for 120." in capsys.readouterr().out
    check("14.3", shipped(seconds_trained=119.0))
    assert "all 3 points" in capsys.readouterr().out


def test_the_shipped_weights_are_not_the_students_also_after_some_steps(capsys):
    model = shipped().requires_grad_(True)
    train_on_budget(model, token_batches(story_token_ids(write_stories(200, seed=1)), 64, 8), 3, 1e-3)
    check("14.3", model)
    assert "the weights that ship with gptcore" in capsys.readouterr().out


def test_training_on_a_budget_adds_up_and_says_how_much_is_left(monkeypatch):
    monkeypatch.setattr(notebook_14, "train", lambda model, draw, num_steps, lr: [draw() for _ in range(num_steps)])
    cfg = {"vocab_size": 1019, "context_length": 8, "emb_dim": 8, "n_heads": 2, "n_layers": 1, "drop_rate": 0.0}
    model, ids = GPTModel({**cfg, "qkv_bias": True}), torch.randint(1019, (2, 9))
    batch = (ids[:, :-1], ids[:, 1:])
    each = notebook_14.seconds_of_step(model, ids[:, :-1])
    # Three passes, 16 tokens, a multiplication and an addition each; the head, the block with norms, the last norm.
    weights = 8 * 1019 + (3 * 72 + 72 + 8 * 32 + 32 + 32 * 8 + 8 + 4 * 8) + 2 * 8
    assert each == pytest.approx(3 * 16 * 2 * (weights + 2 * 8 * 8) / notebook_14.FLOP_PER_SECOND)
    assert (
        len(train_on_budget(model, lambda: batch, 3, 1e-3)) == 3
        and len(train_on_budget(model, lambda: batch, 2, 1e-3)) == 2
    )
    assert model.seconds_trained == pytest.approx(5 * each)
    model.seconds_trained = notebook_14.SECONDS - 4.5 * each
    with pytest.raises(ValueError, match=r"5 steps do not fit: .* so 4 fit into the 0 s that are left of 120"):
        train_on_budget(model, lambda: batch, 5, 1e-3)
    assert model.seconds_trained < notebook_14.SECONDS
    larger = iter([batch, *[(ids[:, :-1].repeat(9, 1), ids[:, 1:].repeat(9, 1))] * 3])
    train_on_budget(model, lambda: next(larger), 4, 1e-3)
    assert model.seconds_trained > notebook_14.SECONDS  # and the check refuses it


def test_the_last_hint_fits_into_the_two_minutes():
    with torch.device("meta"):
        model = GPTModel(
            {**own_gpt.story_model().cfg, "context_length": 96, "emb_dim": 128, "n_heads": 4, "n_layers": 3}
        )
    assert 860 * notebook_14.seconds_of_step(model, torch.zeros(12, 96)) < notebook_14.SECONDS
