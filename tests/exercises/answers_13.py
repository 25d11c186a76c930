"""Wrong answers to the exercises of notebook 13 that no mistake is declared for, and words of what is said of each."""

import torch

from gptcore import attention_weights, patch_everywhere, replaced, run_with_trace
from gptcore.exercises.notebook_13 import cut_head, first_step, lens, patch, piece_of, put, stream


def silent_where_never(steps, losses, limit):
    found = first_step(steps, losses, limit)
    return found if found >= 0 else None


def silent_after_a_dip(steps, losses, limit):
    return first_step(steps, losses, limit) if losses != sorted(losses, reverse=True) else None


def of_four_blocks(model, ids):
    return lens(model, ids, names=lambda model: ["drop_emb", *(f"trf_blocks.{i}" for i in range(4))])


def listens_on(model, ids):
    model.final_norm.register_forward_hook(lambda part, inputs, output: None)
    return lens(model, ids)


def patch_that_stays(model, ids, other_ids, block, place):
    other = stream(model, other_ids)[block + 1]
    model.trf_blocks[block].register_forward_hook(lambda part, inputs, output: put(output, other, place))
    return model(ids)[0, -1].softmax(dim=-1)


def patch_of_the_part(model, ids, other_ids, block, place):
    other = stream(model, other_ids)[block + 1]
    part = model.trf_blocks[block]
    forward = part.forward
    part.forward = lambda x, remember=None: put(forward(x), other, place)
    return model(ids)[0, -1].softmax(dim=-1)


def patch_of_what_it_was_given(model, ids, other_ids, block, place):
    ids[:, place] = other_ids[:, place]
    return model(ids)[0, -1].softmax(dim=-1)


def patch_from_the_left(model, ids, other_ids, block, place):
    """Right everywhere but at the last place, which it forgets."""
    at = place if place < ids.shape[1] - 1 else place - 1
    return patch(model, ids, other_ids, block, at)


def returns_inside(model, ids, other_ids, block, place):
    """The exchange returns nothing: `put` in place, on a copy."""

    def exchange(part, x):
        part.forward(x).clone()[0, place] = 0

    with replaced(model, f"trf_blocks.{block}", exchange):
        return model(ids)[0, -1].softmax(dim=-1)


def cut_for_good(model, ids, block, head):
    layer = model.trf_blocks[block].att.out_proj
    layer.weight[:, piece_of(model, head)] = 0
    return model(ids)


def cut_of_a_token(model, ids, block, head):
    def without(out_proj, context):
        context = context.clone()
        context[:, head] = 0
        return out_proj.forward(context)

    with replaced(model, f"trf_blocks.{block}.att.out_proj", without):
        return model(ids)


def cut_that_returns_the_trace(model, ids, block, head):
    return run_with_trace(model, ids)


def one_place_too_far(model, ids):
    places = torch.arange(ids.shape[1])
    return attention_weights(model, ids)[..., places, places + 1].mean(dim=(1, 3))


WRONG = {
    "13.1": [
        (silent_where_never, "-1 says so"),
        (silent_after_a_dip, "it returns nothing; expected is"),
        (lambda steps, losses, limit: steps.index(limit), "stopped with ValueError"),
        (lambda steps, losses, limit: [loss < limit for loss in losses], "Expected one number"),
        (lambda steps, losses, limit: steps[-1], "it gives 160; expected is 40"),
        (500, "Expected a function"),
    ],
    "13.2": [
        (of_four_blocks, "stopped with KeyError: 'trf_blocks.3'"),
        (listens_on, "leaves a hook behind at final_norm"),
        (lambda model, ids: lens(model, ids).tolist(), "expected is a tensor of shape (4, 6), not list"),
        (lambda model, ids: model(ids), "has shape (1, 6, 37); expected is (4, 6)"),
        (lambda model, ids: lens(model.train(), ids), "computes something else than before"),
        (lambda model, ids: lens(model, ids).float(), "dtype torch.float32"),
    ],
    "13.3": [
        (
            lambda model, ids, other, block, place: patch_everywhere(model, ids, other)[block + 1, place],
            "patch_everywhere makes it, ready-made",
        ),
        (patch_that_stays, "leaves a hook behind at trf_blocks.1"),
        (patch_of_the_part, "computes something else than before"),
        (patch_of_what_it_was_given, "changes the tensor that it is given"),
        (patch_from_the_left, "They differ most at"),
        (returns_inside, "stopped with TypeError: the function gave nothing for 'trf_blocks."),
        (lambda *case: patch(*case).argmax(), "the result has shape ()"),
        (lambda *case: patch(*case, put=lambda here, other, place: other[0, place]), "stopped with ValueError"),
    ],
    "13.4": [
        (cut_for_good, "computes something else than before"),
        (cut_of_a_token, "They differ most at"),
        (cut_that_returns_the_trace, "expected is a tensor of shape (2, 6, 37), not tuple"),
        (lambda *case: cut_head(*case, blocks="{}.no"), "stopped with ValueError: the model has no part named"),
        (lambda *case: cut_head(*case).softmax(dim=-1), "They differ most at"),
    ],
    "13.5": [
        (one_place_too_far, "stopped with IndexError"),
        (attention_weights, "expected is (2, 3)"),
        (lambda model, ids: attention_weights(model, ids)[..., -1, 0].mean(dim=1), "They differ most at"),
    ],
    "13.6": [
        ("abcdefgh", "a does not follow"),
        ("ade", "a does not follow"),
        (("b", "D"), "e follows"),
        ({"d", "e"}, "b follows"),
        ("b, d, e, g", "g does not follow"),
        ("none", "in one text such as"),
        (3, "in one text such as"),
    ],
}
