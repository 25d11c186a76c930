"""The exercises of notebook 14, the learner's own GPT: put together, trained, and taken apart again."""

import math

import torch
from torch import nn

from gptcore import get_story_tokenizer, replaced, story_loss, story_token_ids, train, write_stories
from gptcore.checks import check_count
from gptcore.exercises.checking import NotAnswered, Wrong, as_number, call, exercise
from gptcore.exercises.own_gpt import (
    CLASSES,
    Misfit,
    Recorder,
    compare_stories,
    diagnose,
    is_gptcores,
    ready_made_in,
    story_model,
    try_generate,
)
from gptcore.exercises.ready_made import WRITERS
from gptcore.modes import in_mode

UNSEEN = 77  # the seed of stories on which neither a learner nor the story model was trained
GOALS = (2.0, 1.0, 0.65)  # nats per token: a point for each
SECONDS = 120  # of a usual core, for the training
FLOP_PER_SECOND = 40e9  # of a usual core that trains; measured were 23 to 50 billion for models of these sizes


@exercise(
    "14.1",
    hints=[
        "Begin with the innermost part, MyLayerNorm, and run the check after each: whatever is not yours yet is "
        "gptcore's, so there is always a whole model to compare.",
        "The check names the first place where the two models part, or a part that is wrong when it is tried alone. "
        "Everything before that place is right; look at the part that it names, and at nothing else.",
        "Your answers to 02.1, 03.1, 04.2, 06.4, 07.2 and 08.5 are the formulas. What is new is __init__: it calls "
        "super().__init__() and makes the layers under the names that the task gives.",
        "A block is `x = x + self.att(self.norm1(x))`, then the same with ff and norm2. The whole is the "
        "sum of both embeddings, the blocks one after the other, final_norm, out_head.",
    ],
)
def own_parts(answer):
    ready_made = ready_made_in(answer)
    found = diagnose(answer, ready_made)
    said = " and ".join(f"{name} is the work of {what}" for name, what in ready_made.items())
    if not found.same:
        raise Wrong(f"{found.text}\nReady-made, so it does not count as yours: {said}." if said else found.text)
    missing = [name for name in CLASSES if found.whose[name] != "yours"]
    if len(missing) == len(CLASSES):
        raise Wrong(f"What comes out is right, but {said}, ready-made. The task asks you to write the formulas out.")
    not_counted = f"\n  Right, but ready-made, so it does not count as yours: {said}." if said else ""
    yours = f"{len(CLASSES) - len(missing)} of {len(CLASSES)} parts yours"
    left = f"\n  So far {yours}. Still to write: {', '.join(missing)}." if missing else ""
    return f"{found.text}\n  {found.story}{not_counted}{left}"


@exercise(
    "14.2",
    solved="Each token it writes is gptcore's, also where the text is longer than the context.",
    hints=[
        "It is exercise 09.1 again: in each round the model is given the text and says how likely each next token is.",
        "Give the model the last context_size tokens only, look at the scores of the last position, and append the "
        "token with the highest one.",
        "`scores = model(idx[:, -context_size:])[:, -1, :]`, `new = scores.argmax(dim=-1, keepdim=True)`, "
        "`idx = torch.cat((idx, new), dim=1)`",
    ],
    forbidden=WRITERS,
)
def own_generate(answer):
    call(answer, Recorder().eval(), torch.tensor([[3, 1]]), 2, 4)
    try:
        with torch.no_grad():
            right, why_not = try_generate(answer)
            _, comparison = compare_stories(story_model(), answer)
    except Misfit as misfit:
        raise Wrong(f"In {misfit.part}: {misfit}") from None
    if not right:
        why_not = why_not or "it writes other tokens"
        raise Wrong(f"{comparison} {why_not[0].upper()}{why_not[1:]}.".strip())
    if comparison:
        raise Wrong(comparison)


@torch.no_grad()
def loss_on_unseen(model):
    """Return a trained model's loss on stories that nobody has seen; Wrong for what is no model of these stories."""
    if not isinstance(model, nn.Module):
        raise Wrong("Expected a trained model: an object that you made with MyGPT(cfg), not the class.")
    try:
        with in_mode(model, training=False):
            loss = story_loss(model, seed=UNSEEN)
            ids = story_token_ids(write_stories(1, UNSEEN))[None, : len(model.pos_emb.weight)]
            logits, changed = model(ids), ids.clone()
            changed[0, -1] = (changed[0, -1] + 1) % get_story_tokenizer().n_vocab
            logits_of_changed = model(changed)
    except (AttributeError, RuntimeError, ValueError, IndexError, TypeError) as error:
        raise Wrong(
            f"It does not read stories ({type(error).__name__}: {error}). It needs tok_emb and pos_emb, a vocabulary "
            f"of {get_story_tokenizer().n_vocab} tokens, and gives scores for each position."
        ) from None
    if not torch.isfinite(logits).all():
        return math.nan
    if not torch.allclose(logits_of_changed[:, :-1], logits[:, :-1], rtol=1e-3, atol=1e-3):
        raise Wrong("Your model sees the tokens that it is to guess: change one, and what it says before changes.")
    return loss


def train_on_budget(model, sample_batch, num_steps, lr):
    """Train as gptcore's `train` does, if it fits into two minutes of a usual core; return the loss of every step.

    The work is counted, and not the time: a slow machine may take as long as it needs. What one model is trained in
    several calls adds up, in `model.seconds_trained`.

    Raises: ValueError when the steps do not fit, and whatever `train` raises.
    """
    check_count("num_steps", num_steps, least=1)
    drawn = [sample_batch()]
    used, each = getattr(model, "seconds_trained", 0.0), seconds_of_step(model, drawn[0][0])
    most = int((SECONDS - used) / each)
    if num_steps > most:
        raise ValueError(
            f"{num_steps} steps do not fit: one of them is {each:.2g} s of a usual core, with this model and this "
            f"batch, so {max(most, 0)} fit into the {max(SECONDS - used, 0):.0f} s that are left of {SECONDS}; take "
            "fewer steps, or a smaller model or batch"
        )
    model.seconds_trained = used

    def counted():
        inputs, targets = drawn.pop() if drawn else sample_batch()
        model.seconds_trained += seconds_of_step(model, inputs)
        return inputs, targets

    return train(model, counted, num_steps, lr)


def seconds_of_step(model, inputs):
    """Return how long one training step with these token ids takes on a usual core.

    For each token a multiplication and an addition with each weight, but those of embeddings, which are looked up; and
    in each block with each token's query, key and value. The backward pass takes twice as much again.
    """
    weights = sum(parameter.numel() for parameter in model.parameters())
    weights -= sum(part.weight.numel() for part in model.modules() if isinstance(part, nn.Embedding))
    attention = 2 * len(model.trf_blocks) * inputs.shape[1] * model.tok_emb.weight.shape[1]
    return 3 * inputs.numel() * 2 * (weights + attention) / FLOP_PER_SECOND


def _alike(ours, theirs):
    """The cosine between two tables of embeddings: 1 for the same, after some training still near 1, else near 0."""
    return torch.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0)


def goals_reached(loss):
    return sum(loss < goal for goal in GOALS)


@exercise(
    "14.3",
    hints=[
        "The loop is `train_on_budget`. What is yours to choose: the sizes, the context, the batch, the learning rate "
        "and the number of steps.",
        "Two minutes are two minutes: a smaller model takes more steps, and more steps are worth more than blocks. "
        "Watch the loss after 20 steps with learning rates of 1e-4, 1e-3 and 3e-3.",
        'Three blocks, emb_dim 128, four heads, "context_length" 96, batches of 12 and lr=3e-3: half of the 860 '
        "steps that fit reach the second goal, all of them the third.",
    ],
)
def trained(answer):
    loss = loss_on_unseen(answer)
    if not math.isfinite(loss):
        raise Wrong("Its loss is not a number. Did the training stop with one? A smaller lr helps.")
    shipped = story_model()
    theirs, ours = shipped.tok_emb.weight, getattr(getattr(answer, "tok_emb", None), "weight", None)
    if ours is not None and ours.shape == theirs.shape and _alike(ours, theirs) > 0.5:
        raise Wrong("These are the weights that ship with gptcore. Make a new MyGPT(cfg), and train it from nothing.")
    reached = goals_reached(loss)
    if not reached:
        learned = "It has learned nothing yet" if loss > 6 else f"On unseen stories its loss is {loss:.2f}"
        raise Wrong(f"{learned}. The first goal is below {GOALS[0]:g}, the last one below {GOALS[-1]:g}.")
    seconds = getattr(answer, "seconds_trained", None)
    if not isinstance(seconds, float):
        raise Wrong("Nobody knows how long it was trained. Train a new MyGPT(cfg) with train_on_budget, which counts.")
    if seconds > SECONDS:
        raise Wrong(f"It was trained for {seconds:.0f} seconds of a usual core. The goals are for {SECONDS}.")
    if reached == len(GOALS):
        return f"On unseen stories its loss is below {GOALS[-1]:g}: all {reached} points."
    return (
        f"On unseen stories its loss is below {GOALS[reached - 1]:g}: {reached} of {len(GOALS)} points. The next goal "
        f"is {GOALS[reached]:g}."
    )


def loss_without(parts, function=None):
    """Return the story model's loss without parts of that name: norms let through, all else gives nothing."""

    def leave_out(part, x):
        return x if type(part).__name__ == "LayerNorm" else 0 * part.forward(x)

    with replaced(story_model(), parts, function or leave_out):
        return story_loss(story_model())


@exercise(
    "14.4",
    hints=[
        "Write the prediction first, as a number of nats: the whole model has 0.41, and one that knows nothing but the "
        "number of tokens has ln(1019) = 6.9.",
        'Names are those of the task: "trf_blocks.3.att" is one attention layer, "*.norm?" are all norms of blocks.',
        '`with replaced(my_gpt, "trf_blocks.3.att", lambda part, x: 0 * part.forward(x)):` '
        "and inside it `measured = story_loss(my_gpt)`",
    ],
)
def ablated(answer):
    if not isinstance(answer, tuple | list) or len(answer) != 3:
        raise Wrong("Expected three things: the part's name, your prediction, and the loss that you measured.")
    parts, predicted, measured = answer
    if any(value is None or value is ... for value in answer):
        raise NotAnswered(": the part, the prediction and the measurement are needed")
    if not isinstance(parts, str) or not parts.strip():
        raise Wrong('The first of the three is the name of the part, a text such as "trf_blocks.3.att".')
    predicted, measured = as_number(predicted), as_number(measured)
    try:
        wanted = loss_without(parts)
    except ValueError as error:
        raise Wrong(f"{str(error)[0].upper()}{str(error)[1:]}. (These are the names of gptcore's model.)") from None
    except (RuntimeError, TypeError, IndexError) as error:
        raise Wrong(f"Without {parts} the model cannot run ({error}). Take another part.") from None
    if not math.isclose(measured, wanted, abs_tol=0.001):  # at one part it is 0.003 from what is often put in
        name_what_was_put_in(parts, measured, tolerance=0.0001)
    whole = story_loss(story_model())
    if abs(measured - whole) < 0.0005 < abs(wanted - whole):
        raise Wrong("That is the loss with everything in its place. Measure inside `with replaced(...):`.")
    if math.isclose(measured, wanted, abs_tol=0.02):
        if predicted == measured:
            raise Wrong("Your prediction is the measurement, to the last digit. Predict first; it may miss.")
        miss = abs(predicted - wanted)
        verdict = "close" if miss < 0.3 else "a surprise: what did you not think of?"
        return f"Without {parts} the loss is {wanted:.1f}; you expected {predicted:.1f}, {verdict}"
    if math.isclose(measured, whole, abs_tol=0.005):
        raise Wrong("That is the loss with everything in its place. Measure inside `with replaced(...):`.")
    name_what_was_put_in(parts, measured, tolerance=0.02)
    raise Wrong(f"Without {parts} the loss is not {measured:.2f}. Measure it inside `with replaced(...):`.")


def name_what_was_put_in(parts, measured, tolerance):
    """Raise Wrong if the loss is that of something else in place of the parts."""
    others = {
        "You let through what comes in. Attention and feed-forward are to give nothing: 0 * x.": lambda part, x: x,
        "You let the norm give nothing. A norm that is taken out gives what comes in: x.": lambda part, x: 0 * x,
    }
    for said, function in others.items():
        try:
            if math.isclose(measured, loss_without(parts, function), abs_tol=tolerance):
                raise Wrong(said)
        except (RuntimeError, TypeError, IndexError, ValueError):
            continue  # an embedding cannot be let through


def points(name, answer):
    """Return the points of an answer that passes, where not all answers that pass have the same: what grading asks."""
    if name == "14.1":
        not_counted = ready_made_in(answer)
        mine = [
            part
            for part in CLASSES
            if (given := answer.get(part)) not in (None, ...) and not is_gptcores(given) and part not in not_counted
        ]
        return round(3 * len(mine) / len(CLASSES), 1)
    return float(goals_reached(loss_on_unseen(answer)))
