"""The exercises of notebook 13, what a model learned."""

from functools import partial

import torch

from gptcore import GPT_CONFIG_124M, GPTModel, attention_weights, replaced, run_with_trace, stream_names
from gptcore.exercises.checking import NotAnswered, Wrong, call, check_function, copies, exercise, show_all

FILMS = [  # steps, losses, limit
    ([0, 5, 20, 40, 80, 160], [3.0, 0.4, 0.9, 0.4, 0.3, 0.2], 0.5),
    ([0, 10, 30, 70, 150], [7.0, 3.0, 2.0, 1.5, 1.0], 2.0),
    ([1, 2, 4, 8, 16, 32, 64], [2.0, 0.8, 0.7, 1.1, 0.9, 0.6, 0.95], 1.0),
    ([0, 100, 200, 300, 400], [4.0, 1.5, 0.6, 0.5, 2.5], 1.0),
    ([0, 50, 100, 200], [4.0, 3.0, 3.5, 3.1], 1.0),
    ([0, 25, 75], [0.3, 0.2, 0.25], 0.5),
    ([0, 8, 9, 30], [2.0, 0.1, 3.0, 0.1], 1.5),
]


def first_step(steps, losses, limit, *, low=lambda losses, limit: max(losses) < limit, says=lambda steps, i: steps[i]):
    """Return what `says` makes of the first moment for which `low` holds of the losses from there on, or -1."""
    found = (i for i in range(len(steps)) if low(losses[i:], limit))
    return next((says(steps, i) for i in found), -1)


def by_index(steps, losses, limit):
    found = first_step(range(len(steps)), losses, limit)
    return steps[losses.index(losses[found])] if found >= 0 else -1


def last_crossing(steps, losses, limit):
    low = [False] + [loss < limit for loss in losses]
    return max((step for step, before, now in zip(steps, low, low[1:], strict=False) if now and not before), default=-1)


def of_a_fallen(steps, losses, limit, says):
    return says(steps, losses) if first_step(steps, losses, limit) >= 0 else -1


def up_to_each(steps, losses, limit):
    return next((step for i, step in enumerate(steps) if max(losses[: i + 1]) < limit), -1)


def at_once(steps, losses, limit):
    return steps[0] if max(losses) < limit else -1


def last_of_them(steps, losses, limit):
    return of_a_fallen(steps, losses, limit, lambda steps, losses: steps[-1])


def the_loss(steps, losses, limit):
    moment = first_step(range(len(steps)), losses, limit)
    return losses[moment] if moment >= 0 else -1


FIRST_STEPS = {
    "That is the first step with a loss below the limit. In some films the loss rises again: it must stay below "
    "to the end.": partial(first_step, low=lambda losses, limit: losses[0] < limit),
    "You look one moment ahead. The loss may rise later: it must stay below to the end.": partial(
        first_step, low=lambda losses, limit: max(losses[:2]) < limit
    ),
    "That is the number of the moment in the list. The task asks for the step: steps[moment].": partial(
        first_step, says=lambda steps, i: i
    ),
    "That is one moment too early: there the loss is not below the limit yet.": partial(
        first_step, says=lambda steps, i: steps[max(i - 1, 0)]
    ),
    "That is one moment too late.": partial(first_step, says=lambda steps, i: steps[min(i + 1, len(steps) - 1)]),
    "A loss that equals the limit is not below it.": partial(
        first_step, low=lambda losses, limit: max(losses) <= limit
    ),
    "One loss below the limit, now or later, is enough for you. All of them must be: max or all, not min or any.": (
        partial(first_step, low=lambda losses, limit: min(losses) < limit)
    ),
    "You give the first step or -1, and never a step between. Do you look at earlier losses, too, or does a `return` "
    "stand inside the loop that belongs behind it?": [up_to_each, at_once],
    "That is the last step from which the losses stay below. The task asks for the first: stop there.": last_of_them,
    "That is the loss at the right moment. The task asks for the step: steps[moment].": the_loss,
    "You look for losses above the limit. The task asks where the loss stays below.": partial(
        first_step, low=lambda losses, limit: min(losses) > limit
    ),
    "You found the moment, and lost it again: losses.index gives the first moment with that loss, and a film may "
    "have the same loss twice. Count the moments themselves.": by_index,
    "That is the last time that the loss falls below the limit. At the end of one film it has risen again: there it "
    "does not stay below, and the answer is -1.": last_crossing,
    "That is the step with the smallest loss. The task asks for the first from which all are below the limit.": [
        lambda steps, losses, limit: steps[losses.index(min(losses))],
        partial(of_a_fallen, says=lambda steps, losses: steps[losses.index(min(losses))]),
    ],
    "Right where the loss stays below. Where it never does, you name a step all the same; the answer is -1.": [
        lambda steps, losses, limit: found if (found := first_step(steps, losses, limit)) >= 0 else steps[-1],
        lambda steps, losses, limit: max(first_step(steps, losses, limit), steps[0]),
    ],
    "The mean of the remaining losses is below the limit there. Each of them must be.": partial(
        first_step, low=lambda losses, limit: sum(losses) / len(losses) < limit
    ),
}


@exercise(
    "13.1",
    mistakes=FIRST_STEPS,
    solved="One look below the limit can be luck. What stays is learned.",
    hints=[
        "Take the losses 3.0, 0.4, 0.9, 0.3, 0.2 and the limit 0.5, and find the moment with a pencil. Which losses "
        "did you look at, to be sure?",
        "A moment is right if all losses from it to the last are below the limit. Try the moments one by one, from the "
        "first on.",
        "The losses from moment i on are `losses[i:]`, and `all(loss < limit for loss in losses[i:])` asks them all.",
        "`for i, step in enumerate(steps):`, and in it, if `max(losses[i:]) < limit`: `return step`. "
        "After the loop `return -1`.",
    ],
)
def my_first_step(answer):
    for number, case in enumerate(FILMS):
        try:
            call(answer, *copies(case))
        except NotAnswered:
            if number == 0:
                raise
            wanted = first_step(*case)
            why = "the loss does not stay below the limit: -1 says so" if wanted < 0 else f"expected is {wanted}"
            raise Wrong(f"For the losses {case[1]} and the limit {case[2]} it returns nothing; {why}.") from None
    check_function(answer, FILMS, first_step, FIRST_STEPS)


class GPT(GPTModel):
    """A GPT that a message can name."""

    def __repr__(self):
        return f"({self.cfg['n_layers']} blocks with {self.cfg['n_heads']} heads each)"


def small_model(n_layers, n_heads, emb_dim, vocab_size=37):
    """Return a small model in which every part, norms and biases too, makes a difference, and random tokens for it."""
    sizes = {"vocab_size": vocab_size, "context_length": 16, "emb_dim": emb_dim, "n_heads": n_heads}
    with torch.random.fork_rng():
        torch.manual_seed(100 * n_layers + emb_dim)
        model = GPT({**GPT_CONFIG_124M, **sizes, "n_layers": n_layers, "qkv_bias": True}).requires_grad_(False).eval()
        for parameter in model.parameters():
            parameter.normal_(std=0.6)
        return model, torch.randint(vocab_size, (8, 6), generator=torch.Generator().manual_seed(n_layers))


def check_on_models(answer, cases, right, mistakes):
    """As check_function, for functions whose first argument is a model, which they must leave as it was."""
    results = []
    for model, *arguments in cases:
        tokens = torch.arange(6).unsqueeze(0)
        before = model(tokens)
        results.append(call(answer, model, *copies(arguments)))
        for name, part in model.named_modules():
            if part._forward_hooks or part._forward_pre_hooks:
                raise Wrong(
                    f"Your function leaves a hook behind at {name}, so the model stays changed after the call. "
                    "`with replaced(...)` takes its hooks away again."
                )
        if not torch.equal(model(tokens), before):
            raise Wrong(
                "After your function the model computes something else than before. Leave its weights and parts as "
                f"they are; what you change must be undone. (It happened for {show_all([model, *arguments], answer)}.)"
            )
    given = iter(results)

    def again(*case):
        return next(given)

    again.__wrapped__ = answer  # so that messages know the names of its arguments
    check_function(again, cases, right, mistakes)


def stream(model, ids):
    """The stream before the first block and behind each: a list of n_layers + 1 tensors (1, num_tokens, emb_dim)."""
    _, trace = run_with_trace(model, ids)
    return [trace[name] for name in stream_names(model)]


def lens(model, ids, *, names=stream_names, norm=True, head=True, read=lambda scores: scores.argmax(dim=-1)):
    """A lens that looks at these parts, with final norm and head or without, and says this of the scores."""
    _, trace = run_with_trace(model, ids)
    x = torch.stack([trace[name][0] for name in names(model)])  # (n_layers + 1, num_tokens, emb_dim)
    x = model.final_norm(x) if norm else x
    return read(model.out_head(x) if head else x)


def behind(model, part="", first="drop_emb"):
    return [first, *(f"trf_blocks.{i}{part}" for i in range(model.cfg["n_layers"]))]


def likeliest(scores, dim=-1):
    return scores.argmax(dim=dim)


LENSES = {
    "Your lens has no final norm. The head was trained on normed vectors: final_norm comes first.": partial(
        lens, norm=False
    ),
    "The head is missing: you say which of the emb_dim numbers is largest. out_head makes scores of them, one for "
    "each token.": [partial(lens, head=False), partial(lens, norm=False, head=False)],
    "The row of the embeddings is missing: the stream before the first block, drop_emb, comes first.": partial(
        lens, names=lambda model: stream_names(model)[1:]
    ),
    "The last row is missing: what the lens says behind the last block.": partial(
        lens, names=lambda model: stream_names(model)[:-1]
    ),
    "The first row is the token embedding alone. What enters the first block has the positions, too: drop_emb.": (
        partial(lens, names=partial(behind, first="tok_emb"))
    ),
    "You look at the last token only. Every token of the text has its column.": [
        partial(lens, read=lambda scores: likeliest(scores)[:, -1]),
        partial(lens, read=lambda scores: likeliest(scores)[:, -1:]),
    ],
    "You read what attention writes. The stream behind a block is the block's own output: trf_blocks.0, not "
    "trf_blocks.0.att.": partial(lens, names=partial(behind, part=".att")),
    "You read what the feed-forward layer writes. The stream behind a block is the block's own output: trf_blocks.0, "
    "not trf_blocks.0.ff.": partial(lens, names=partial(behind, part=".ff")),
    "Those are the largest scores. The task asks whose they are: argmax instead of max.": partial(
        lens, read=lambda scores: scores.amax(dim=-1)
    ),
    "Those are the largest probabilities. The task asks whose they are: argmax instead of max.": partial(
        lens, read=lambda scores: scores.softmax(dim=-1).amax(dim=-1)
    ),
    "Those are the scores of all tokens. The task asks for the likeliest token at each: argmax over the last axis.": (
        partial(lens, read=lambda scores: scores)
    ),
    "Your argmax runs over the places of the text. It belongs over the vocabulary, the last axis.": partial(
        lens, read=partial(likeliest, dim=1)
    ),
    "Rows and columns are swapped: a row for each depth, a column for each token.": partial(
        lens, read=lambda scores: likeliest(scores).T
    ),
    "Your depths come in the wrong order: the embeddings first, the last block last.": partial(
        lens, read=lambda scores: likeliest(scores).flip(0)
    ),
    "The right ids, with the axis of the batch still there: there is one text, so take [0].": partial(
        lens, read=lambda scores: likeliest(scores).unsqueeze(1)
    ),
    "Each of your rows is the model's answer at the end. Read the stream behind each block instead.": (
        lambda model, ids: likeliest(model(ids)).expand(model.cfg["n_layers"] + 1, -1)
    ),
    "You give the tokens of the text itself. The task asks what the model would say after each of them.": (
        lambda model, ids: ids.expand(model.cfg["n_layers"] + 1, -1)
    ),
}


@exercise(
    "13.2",
    mistakes=LENSES,
    solved="The last row is what the model really says. The others are what it would say, had it to answer there.",
    hints=[
        "`_, trace = run_with_trace(model, ids)`. Which parts' names stand for the stream? There are n_layers + 1.",
        "Behind the last block the model does two more things before it answers. Do both with each of these vectors.",
        "`model.out_head(model.final_norm(trace[name]))` has the shape (1, num_tokens, vocab_size): the scores at one "
        'depth, where name is "drop_emb" or f"trf_blocks.{i}".',
        '`names = ["drop_emb", *(f"trf_blocks.{i}" for i in range(model.cfg["n_layers"]))]`, then '
        "`torch.stack([model.out_head(model.final_norm(trace[name]))[0].argmax(dim=-1) for name in names])`",
    ],
)
def my_lens(answer):
    models = [small_model(*sizes) for sizes in [(3, 2, 8), (1, 3, 12), (4, 2, 10)]]
    cases = [(model, ids[:1, :length]) for (model, ids), length in zip(models, (6, 4, 5), strict=True)]
    check_on_models(answer, cases, lens, LENSES)


def put(here, other, place):
    """The stream with the other text's vector at one place."""
    x = here.clone()
    x[:, place] = other[:, place]
    return x


def last_chances(logits, place):
    return logits[-1].softmax(dim=-1)


def go_on(model, x, block, place, read=last_chances):
    """What `read` says of the logits (num_tokens, vocab_size) when the stream goes on with that block."""
    for later in model.trf_blocks[block:]:
        x = later(x)
    return read(model.out_head(model.final_norm(x))[0], place)


def patch(model, ids, other_ids, block, place, *, put=put, again=0, read=last_chances):
    """A patch with this way to put the vector in; with again=1 the stream goes through the block a second time."""
    x = put(stream(model, ids)[block + 1], stream(model, other_ids)[block + 1], place)
    return go_on(model, x, block + 1 - again, place, read)


def patch_into_the_input(model, ids, other_ids, block, place):
    x = put(stream(model, ids)[block], stream(model, other_ids)[block + 1], place)
    return go_on(model, x, block, place)


def patch_without_the_block(model, ids, other_ids, block, place):
    x = put(stream(model, ids)[block], stream(model, other_ids)[block + 1], place)
    return go_on(model, x, block + 1, place)


def answer_at_once(model, ids, other_ids, block, place):
    x = put(stream(model, ids)[block + 1], stream(model, other_ids)[block + 1], place)
    return go_on(model, x, len(model.trf_blocks), place)


def one_number_of_each(here, other, place):
    x = here.clone()
    x[..., place] = other[..., place]
    return x


def patch_of_a_layer(model, ids, other_ids, block, place, layer):
    name = f"trf_blocks.{block}.{layer}"
    _, other = run_with_trace(model, other_ids)
    with replaced(model, name, lambda part, x: put(part.forward(x), other[name], place)):
        return model(ids)[0, -1].softmax(dim=-1)


def patch_of_the_token(model, ids, other_ids, block, place):
    return model(put(ids, other_ids, place))[0, -1].softmax(dim=-1)


def added(here, other, place):
    return here.index_add(1, torch.tensor([place]), other[:, place : place + 1])


def up_to(here, other, place):
    return torch.cat([other[:, : place + 1], here[:, place + 1 :]], dim=1)


def from_there(here, other, place):
    return torch.cat([here[:, :place], other[:, place:]], dim=1)


PATCHES = {
    "Nothing is put in: those are the probabilities after ids as they are.": partial(
        patch, put=lambda here, other, place: here
    ),
    "You put in the whole stream of the other text, and so you get its answer. Only the vector at `place` is "
    "exchanged.": partial(patch, put=lambda here, other, place: other),
    "You exchange all vectors up to `place`. It is only the one at `place`.": partial(patch, put=up_to),
    "You exchange all vectors from `place` on. It is only the one at `place`.": partial(patch, put=from_there),
    "One place too far to the right. Places are counted from 0.": partial(
        patch, put=lambda here, other, place: put(here, other, place + 1)
    ),
    "One place too far to the left: the first token stands at place 0.": partial(
        patch, put=lambda here, other, place: put(here, other, place - 1)
    ),
    "Your vector goes in before the block, not behind it. The block's own output is to be exchanged.": (
        lambda model, ids, other_ids, block, place: patch(model, ids, other_ids, block - 1, place)
    ),
    "The vector comes from behind the block, but you put it in before the block, which then works on it a second "
    "time.": patch_into_the_input,
    "Your vector goes in one block too late. Blocks are counted from 0.": (
        lambda model, ids, other_ids, block, place: patch(model, ids, other_ids, block + 1, place)
    ),
    "Your function leaves the block out: x is what comes in, and `part.forward(x)` is what comes out.": (
        patch_without_the_block
    ),
    "You answer right behind the block. The stream must go through all later blocks first.": answer_at_once,
    "After the exchange your stream goes through the same block once more. It goes on with the next one.": partial(
        patch, again=1
    ),
    "The texts are swapped: ids is the text that goes on, and other_ids only lends it a vector.": (
        lambda model, ids, other_ids, block, place: patch(model, other_ids, ids, block, place)
    ),
    "You exchange the token. It is the vector in the stream behind the block that is to be exchanged.": (
        patch_of_the_token
    ),
    "You exchange what attention writes. The stream behind the block is the output of the whole block.": partial(
        patch_of_a_layer, layer="att"
    ),
    "You exchange what the feed-forward layer writes. The stream behind the block is the output of the whole "
    "block.": partial(patch_of_a_layer, layer="ff"),
    "You exchange one number of every vector. It is all numbers of one vector: x[0, place].": partial(
        patch, put=one_number_of_each
    ),
    "You add the other vector. It takes the place of the text's own.": partial(patch, put=added),
    "Those are the right logits. Softmax makes probabilities of them.": partial(
        patch, read=lambda logits, place: logits[-1]
    ),
    "Those are the logarithms of the right probabilities: softmax instead of log_softmax.": partial(
        patch, read=lambda logits, place: logits[-1].log_softmax(dim=-1)
    ),
    "You read the answer where the vector was put in. The next token after the whole text is asked: the last "
    "place.": partial(patch, read=lambda logits, place: logits[place].softmax(dim=-1)),
    "Those are the probabilities at every place. The task asks for those after the last token alone.": [
        partial(patch, read=lambda logits, place: logits.softmax(dim=-1)),
        partial(patch, read=lambda logits, place: logits.softmax(dim=-1)[None]),
    ],
    "Right, with the axis of the batch still there: there is one text, so take [0].": partial(
        patch, read=lambda logits, place: logits[-1:].softmax(dim=-1)
    ),
    "Your softmax runs over the places. It belongs over the vocabulary, the last axis.": partial(
        patch, read=lambda logits, place: logits.softmax(dim=0)[-1]
    ),
}


@exercise(
    "13.3",
    forbidden=("patch_everywhere",),
    mistakes=PATCHES,
    solved="One vector behind one block. At the last block only the last place can change the answer: nothing moves "
    "between tokens any more.",
    hints=[
        "Two runs: one through the other text, to get its vector, and one through `ids`, in which it is put in.",
        '`_, trace = run_with_trace(model, other_ids)`; the vector is `trace[f"trf_blocks.{block}"][0, place]`.',
        "`replaced` lets the block give something else: a function of the part and x that begins with "
        "`x = part.forward(x).clone()`, exchanges one vector in it, and returns it.",
        'With `name = f"trf_blocks.{block}"`, in the function `x[0, place] = trace[name][0, place]`; then '
        "`with replaced(model, name, put):` and in it `return model(ids)[0, -1].softmax(dim=-1)`",
    ],
)
def my_patch(answer):
    (first, ids), (second, more), (third, others) = (small_model(*sizes) for sizes in [(3, 2, 8), (4, 3, 6), (2, 2, 8)])
    usual = [
        (first, ids[:1], ids[1:2], 1, 2),
        (first, ids[2:3], ids[3:4], 0, 0),
        (second, more[:1, :5], more[1:2, :5], 2, 3),
        (second, more[2:3], more[3:4], 0, 1),
    ]
    check_on_models(answer, usual, patch, PATCHES)
    # At the edge, where "one further" does not exist; so it knows no mistakes.
    check_on_models(
        answer, [(third, others[:1], others[1:2], 1, 5), (third, others[2:3], others[4:5], 0, 5)], patch, {}
    )


def piece_of(model, head):
    """The places of a head's numbers among those of all heads."""
    head_dim = model.cfg["emb_dim"] // model.cfg["n_heads"]
    return slice(head * head_dim, (head + 1) * head_dim)


def every_so_manyth(model, head):
    return slice(head, None, model.cfg["n_heads"])


def without(x, piece):
    x = x.clone()
    x[..., piece] = 0
    return x


def cut_head(model, ids, block, head, *, blocks="{}", piece=piece_of, cut=None, part="att.out_proj"):
    """Logits when `cut(part, x, piece)` stands for that part; without `cut`, the part gets 0 in the head's places."""
    cut = cut or (lambda part, x, piece: part.forward(without(x, piece)))
    name = f"trf_blocks.{blocks.format(block)}.{part}"
    with replaced(model, name, lambda part, x: cut(part, x, piece(model, head))):
        return model(ids)


def only(x, piece):
    return x - without(x, piece)


def rows_cut(part, x, piece):
    return without(part.forward(x) - part.bias, piece) + part.bias


def whole_texts_cut(part, x, piece):
    x = x.clone()
    x[piece] = 0
    return part.forward(x)


CUTS = {
    "Nothing is mended yet: the wrong numbers become 0, and that in every block.": partial(
        cut_head, blocks="*", piece=every_so_manyth
    ),
    "Only that block is cut now. But you still take every so-many-th number. The heads lie side by side: head 0 has "
    "the first head_dim numbers, head 1 the next ones.": partial(cut_head, piece=every_so_manyth),
    "The right numbers now. But they still become 0 in every block: name the one that is asked.": partial(
        cut_head, blocks="*"
    ),
    "You set numbers to 0 behind out_proj. There the heads are mixed: each number has a part of every head. Cut "
    "before it.": partial(cut_head, cut=lambda part, x, piece: without(part.forward(x), piece)),
    "You switch off the whole attention of the block. The other heads must go on.": [
        partial(cut_head, part="att", cut=lambda part, x, piece: 0 * x),
        partial(cut_head, cut=lambda part, x, piece: part.forward(0 * x)),
    ],
    "The wrong way round: only this head is left. All others must go on.": partial(
        cut_head, cut=lambda part, x, piece: part.forward(only(x, piece))
    ),
    "Your slice is too short or too long: it ends at head + head_dim. Head 1 of 4 numbers each has the numbers 4 to "
    "7.": partial(cut_head, piece=lambda model, head: slice(head, head + piece_of(model, 0).stop)),
    "You set one number to 0. A head has head_dim numbers.": partial(
        cut_head, piece=lambda model, head: slice(head, head + 1)
    ),
    "Your pieces are as long as there are heads. Each head has head_dim numbers: emb_dim // n_heads.": partial(
        cut_head, piece=lambda model, head: slice(head * model.cfg["n_heads"], (head + 1) * model.cfg["n_heads"])
    ),
    "Your pieces are 32 numbers long, which fits the story model alone. head_dim is emb_dim // n_heads.": partial(
        cut_head, piece=lambda model, head: slice(head * 32, (head + 1) * 32)
    ),
    "You cut all heads from this one on. Its numbers end where the next head's begin.": partial(
        cut_head, piece=lambda model, head: slice(piece_of(model, head).start, None)
    ),
    "You set texts of the batch to 0, the first axis. A head's numbers lie side by side on the last one.": partial(
        cut_head, cut=whole_texts_cut
    ),
    "You leave out_proj out: what you return is what it is given. `out_proj.forward(kept)` makes its output.": partial(
        cut_head, cut=lambda part, x, piece: without(x, piece)
    ),
    "That is the next head. Heads are counted from 0.": partial(
        cut_head, piece=lambda model, head: piece_of(model, head + 1)
    ),
    "With its queries or keys at 0, all scores of the head are 0: it looks at all tokens evenly, and goes on writing. "
    "What it writes must be 0.": [
        partial(cut_head, part=f"att.{projection}", cut=lambda part, x, piece: without(part.forward(x), piece))
        for projection in ("W_query", "W_key")
    ],
    "You take out_proj's bias away with the head. It belongs to no head, and stays.": [
        partial(cut_head, cut=lambda part, x, piece: part.forward(x) - part.forward(only(x, piece))),
        partial(cut_head, cut=lambda part, x, piece: part.forward(without(x, piece)) - part.bias),
    ],
    "You cut the rows of out_proj's weight: that is 0 in some of its outputs. A head's numbers meet its columns.": (
        partial(cut_head, cut=rows_cut)
    ),
    "No head is switched off: those are the logits of the whole model.": lambda model, ids, block, head: model(ids),
    "You cut what enters attention. There the vectors are not divided into heads yet: each head reads all "
    "numbers.": partial(cut_head, part="att", cut=lambda part, x, piece: part.forward(without(x, piece))),
}


@exercise(
    "13.4",
    mistakes=CUTS,
    solved="A cut is a measurement, and a wrong one gives a number, too. So try it where you know the result: on a "
    "head that writes nothing.",
    hints=[
        "How many blocks does `replaced` find by this name, and how many should it find?",
        "Look at notebook 06 again: `context.transpose(1, 2).flatten(2)` lays the heads side by side. Where do the "
        "numbers of head 1 stand?",
        "Head 0 has the first head_dim numbers, head 1 the next ones, with `head_dim = emb_dim // n_heads`. And the "
        "name of one block's part has its number in it, not a star.",
        "`kept[..., head * head_dim : (head + 1) * head_dim] = 0`, and "
        '`replaced(model, f"trf_blocks.{block}.att.out_proj", without)`',
    ],
)
def mended_without_head(answer):
    models = [small_model(*sizes) for sizes in [(3, 2, 12), (2, 4, 8), (2, 3, 12), (1, 2, 8)]]
    asked = [(1, 0), (0, 2), (1, 1), (0, 1)]
    batches = [2, 8, 2, 2]  # in one more texts than a head has numbers
    cases = [(model, ids[:batch], *where) for (model, ids), batch, where in zip(models, batches, asked, strict=True)]
    check_on_models(answer, cases, cut_head, CUTS)


def copy_score(model, ids, *, back=1, rows=slice(None), mean=lambda weights: weights.mean(dim=(1, 3)), swapped=False):
    """Weights from each place of the second half to the one `back` further than where the token stood before."""
    length = ids.shape[1] // 2
    places = torch.arange(length, 2 * length)[rows]
    weights = attention_weights(model, ids)  # (n_layers, batch, n_heads, num_tokens, num_tokens)
    return mean((weights.mT if swapped else weights)[..., places, places - length + back])


def on_all_rows(model, ids, too_many):
    """The sums of the right squares, divided by more than there are."""
    length = ids.shape[1] // 2
    return copy_score(model, ids) * length / too_many(length)


def diagonal(model, ids):
    return attention_weights(model, ids).diagonal(1 - ids.shape[1] // 2, dim1=-2, dim2=-1).mean(dim=(1, 3))


def square(model, ids, rows, columns):
    length = ids.shape[1] // 2
    weights = attention_weights(model, ids)
    return weights[..., rows(length), columns(length)].mean(dim=(1, 3, 4))


def into_the_future(model, ids):
    places = torch.arange(ids.shape[1] // 2)
    return attention_weights(model, ids)[..., places, places + 1].mean(dim=(1, 3))


def the_one_before(model, ids):
    places = torch.arange(ids.shape[1] // 2, ids.shape[1])
    return attention_weights(model, ids)[..., places, places - 1].mean(dim=(1, 3))


COPY_SCORES = {
    "You look at the earlier place of the token itself. What came behind it stands one place further right.": partial(
        copy_score, back=0
    ),
    "You look one place before the earlier one. What came behind it stands one place further right.": partial(
        copy_score, back=-1
    ),
    "You look two places behind the earlier place of the token. What came next stands one place behind it.": partial(
        copy_score, back=2, rows=slice(None, -1)
    ),
    "You divide by all places of the text. Only those of the second half have an earlier place: take the mean over "
    "these.": partial(on_all_rows, too_many=lambda length: 2 * length),
    "You take one row too many: the last token of the first half has not come before. The second half begins at the "
    "place num_tokens // 2.": diagonal,
    "The last token of the text is left out. It has come before, too: its earlier place is the end of the first "
    "half.": (partial(copy_score, rows=slice(None, -1))),
    "The first token of the second half is left out. It stands at the place num_tokens // 2.": partial(
        copy_score, rows=slice(1, None)
    ),
    "Each text of the batch has its own scores still. Take the mean over the batch, too: axis 1.": [
        partial(copy_score, mean=lambda weights: weights.mean(dim=-1)),
        partial(copy_score, mean=lambda weights: weights.mean(dim=-1).transpose(0, 1)),
    ],
    "That is the first text of the batch alone. Take the mean over all.": partial(
        copy_score, mean=lambda weights: weights[:, 0].mean(dim=-1)
    ),
    "Blocks and heads are swapped: a row for each block, a column for each head.": partial(
        copy_score, mean=lambda weights: weights.mean(dim=(1, 3)).T
    ),
    "Yours are all 0, as nobody sees the future. The row is the token that looks, a place of the second half; the "
    "column is the one that is looked at.": [partial(copy_score, swapped=True), into_the_future],
    "You look at the token just before. It is the one behind the earlier place of the same token that is asked.": (
        the_one_before
    ),
    "You add up over the batch. Take the mean over the texts, too.": partial(
        copy_score, mean=lambda weights: weights.mean(dim=3).sum(dim=1)
    ),
    "Those are sums. Divide by the number of places: a score goes from 0 to 1.": [
        partial(copy_score, mean=lambda weights: weights.sum(dim=3).mean(dim=1)),
        partial(copy_score, mean=lambda weights: weights.sum(dim=(1, 3))),
    ],
    "That is the largest weight. The task asks for the mean.": partial(
        copy_score, mean=lambda weights: weights.amax(dim=(1, 3))
    ),
    "There is a number for each place still. Take the mean over the second half.": partial(
        copy_score, mean=lambda weights: weights.mean(dim=1)
    ),
    "That is one number for the whole model. Each head of each block has its own.": partial(
        copy_score, mean=lambda weights: weights.mean()
    ),
    "You take the mean of a whole square: each token with each one of the others. Row and column belong together in "
    "pairs: index them with two tensors at once.": [
        partial(square, rows=lambda length: slice(length, None), columns=lambda length: slice(1, length + 1)),
        partial(square, rows=lambda length: slice(length, None), columns=lambda length: slice(0, length)),
    ],
}


@exercise(
    "13.5",
    mistakes=COPY_SCORES,
    solved="A head that copies whatever came last time scores near 1. Put the story model into it, and 20 or more "
    "tokens drawn at random, given twice: no head is above 0.1.",
    hints=[
        "Write down 7 3 5 7 3 5 with the places 0 to 5. At which place does the 3 stand for the second time, where did "
        "it stand before, and what came behind it?",
        "With `length = ids.shape[1] // 2`, the token at place t stood at t - length before. What came behind it is at "
        "t - length + 1.",
        "`places = torch.arange(length, 2 * length)` are the rows, `places - length + 1` the columns, and two tensors "
        "of places as an index are taken in pairs.",
        "`weights = attention_weights(model, ids)`, then `weights[..., places, places - length + 1].mean(dim=(1, 3))`",
    ],
)
def my_copy_score(answer):
    models = [small_model(*sizes)[0] for sizes in [(2, 3, 6), (3, 3, 12), (4, 2, 8), (1, 1, 4)]]
    halves = [(4, 3), (1, 5), (2, 2), (8, 6)]
    draw = torch.Generator().manual_seed(1)
    cases = []
    for model, (batch, length) in zip(models, halves, strict=True):
        # No token comes twice within a half: so each of the second has one earlier place, however it is found.
        half = torch.stack([torch.randperm(37, generator=draw)[:length] for _ in range(batch)])
        cases.append((model, half.repeat(1, 2)))
    check_on_models(answer, cases, copy_score, COPY_SCORES)


FOLLOW = {  # what is said of each statement that is judged wrongly
    "a": "a does not follow. Tell the story with the cup, and the lens says ball there as well. A reading that stays "
    "the same, whatever the story says, knows nothing of the story.",
    "b": "b follows. Every single vector was tried in every depth. Before the last block the one at ball turns the "
    "answer into cup, and none of the others does.",
    "c": "c does not follow. Needed is not stored: without that layer, all later ones read a stream as they have never "
    "seen one. And the patch shows where the answer is: in the vector at ball, even before block 0.",
    "d": "d follows. Before block 3 the answer is in the vector at ball, behind it in the one at the last token, and "
    "nothing but attention carries anything from one token to another. The cut agrees.",
    "e": "e follows. The loss on names that come again fell by 2.49 nats and that on new names did not fall at all.",
    "f": "f does not follow. One trained model was looked at. What another one learns may be the same, and sit in "
    "other heads: you would have to look there.",
    "g": "g does not follow. One story was looked at, in which a thing is asked for. On other stories, where persons "
    "are named again, this layer may be needed, and it is: the loss on such names rises from 0.1 to above 1.",
    "h": "h does not follow. Random tokens are another task than stories. In stories something is brought back: the "
    "patch shows it. What follows is only that no head copies *whatever* came last time.",
}
FOLLOWING = frozenset("bde")


@exercise(
    "13.6",
    mistakes={said: "".join(sorted(FOLLOWING ^ {letter})) for letter, said in FOLLOW.items()},
    solved="What was measured: this model, these texts, this change. What follows is no wider than that.",
    hints=[
        "Ask of each statement: what was changed, and what would have come out if the statement were false? If the "
        "same, it does not follow.",
        "Three traps: from one story to all stories, from one model to all models, and from *it gets worse without it* "
        "to *it is in there*.",
        "Three of the eight follow. One is about the film, one about the patch alone, and one needs the patch and what "
        "you know of attention.",
        "b, d and e follow.",
    ],
)
def following(answer):
    if isinstance(answer, (tuple, list, set, frozenset)) and all(isinstance(part, str) for part in answer):
        answer = "".join(answer)
    letters = "".join(answer).lower() if isinstance(answer, str) else ""
    given = {letter for letter in letters if letter not in " ,;.()"}
    if not given or not given <= set(FOLLOW):
        raise Wrong('Answer with the letters of the statements that follow, from a to h, in one text such as "ach".')
    for letter in sorted(given ^ FOLLOWING):
        raise Wrong(FOLLOW[letter])
