"""The exercises of notebook 10, what training buys."""

import math
from functools import partial

import torch
import torch.nn.functional as F

from gptcore.exercises.checking import (
    Wrong,
    as_number,
    call,
    call_all,
    check_function,
    exercise,
    number,
    on_each_device,
)
from gptcore.exercises.ready_made import LOSSES as READY_MADE

number(
    "10.1",
    math.log(8192),
    mistakes={
        "That is the logarithm to base 2, so it counts bits. Nats need the natural logarithm: math.log.": 13.0,
        "That is the logarithm to base 10. Nats need the natural logarithm: math.log.": math.log10(8192),
        "The size is right. The loss is minus the logarithm of p, and so it is not negative.": -math.log(8192),
        "That is the perplexity: e to the power of the loss. What is the loss?": 8192,
        "So small is the probability of each token, 1 / 8192. The loss is minus its logarithm.": [1 / 8192, 0.00012],
        "A loss of 0 is that of a model that is certain, and right. This one cannot know which token comes.": 0,
        "That would be right for GPT-2's vocabulary of 50,257 tokens. This one has 8,192.": math.log(50257),
    },
    tolerance=0.02,
    near=0.002,  # relative: near 0 are two different mistakes
    solved="If a new model begins near this loss, all is well; it just knows nothing yet.",
    hints=[
        "If all tokens get the same probability, which one does each of them get?",
        "The loss of one prediction is minus the natural logarithm of the probability of the token that came.",
        "-ln(1 / 8192) = ln(8192): `math.log(8192)`",
    ],
)


def scored_text():
    """Return logits (batch, num_tokens, vocab_size) and targets of several shapes, on every device."""
    generator = torch.Generator().manual_seed(10)
    cases = []
    for shape in [(2, 4, 7), (1, 1, 5), (3, 6, 6), (1, 3, 2)]:
        logits = 2 * torch.randn(shape, generator=generator)
        targets = torch.randint(shape[-1], shape[:2], generator=generator)
        cases.append((logits, targets))
    return on_each_device(cases)


def cross_entropy(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()).item()


softmax = partial(torch.softmax, dim=-1)
log_softmax = partial(torch.log_softmax, dim=-1)


def loss(logits, targets, *, scores=log_softmax, average=torch.mean):
    """Cross-entropy: minus the average score of the right tokens. Or, with a fault, another score or average."""
    return -average(scores(logits).gather(-1, targets.unsqueeze(-1)).squeeze(-1)).item()


def shifted_sums(logits, targets, function):
    """The mean of what the function makes of each row's sum, minus the target's logit, the largest taken away."""
    shifted = logits - logits.amax(dim=-1, keepdim=True)
    return (function(shifted.exp().sum(dim=-1)) - shifted.gather(-1, targets.unsqueeze(-1)).squeeze(-1)).mean().item()


LOSSES = {
    "Your logarithm has base 2, so the loss is in bits. Take the natural logarithm: torch.log.": (
        lambda logits, targets: loss(logits, targets) / math.log(2)
    ),
    "You add the losses of all positions up. Cross-entropy is their mean.": partial(loss, average=torch.sum),
    "You add up along the tokens and average over the batch only. The mean goes over all positions.": partial(
        loss, average=lambda each: each.sum(dim=1).mean()
    ),
    "You look at the last position only. In training every position is a prediction that counts.": partial(
        loss, average=lambda each: each[:, -1].mean()
    ),
    "Your mean also divides by vocab_size. Divide by the number of predictions, batch times num_tokens.": (
        lambda logits, targets: loss(logits, targets) / logits.shape[-1]
    ),
    "Your softmax goes over the positions. The tokens of the vocabulary share the probability: dim=-1.": partial(
        loss, scores=partial(torch.log_softmax, dim=1)
    ),
    "Your softmax goes over the batch. The tokens of the vocabulary share the probability: dim=-1.": partial(
        loss, scores=partial(torch.log_softmax, dim=0)
    ),
    "Only the sign is wrong: the loss is minus the logarithm.": lambda logits, targets: -loss(logits, targets),
    "That is the mean probability of the right tokens. The loss takes minus its logarithm at each position.": (
        lambda logits, targets: -loss(logits, targets, scores=softmax)
    ),
    "You average minus the probabilities. Take the logarithm of each one first.": partial(loss, scores=softmax),
    "You average the probabilities and take one logarithm. The logarithm comes first, the mean last.": partial(
        loss, scores=softmax, average=lambda each: each.mean().log()
    ),
    "You take the logits themselves. They become logarithms of probabilities only through softmax.": partial(
        loss, scores=torch.clone
    ),
    "At each position you pick the targets of all positions. Each position has one target: use gather.": (
        lambda logits, targets: -log_softmax(logits)[..., targets].mean().item()
    ),
    "You take the largest logit away before you sum, but not from the target's own logit. It belongs to both.": (
        lambda logits, targets: loss(logits, targets) - logits.amax(dim=-1).mean().item()
    ),
    "You average over all tokens of the vocabulary. Only the probability of the target counts: gather picks it.": (
        lambda logits, targets: -log_softmax(logits).mean().item()
    ),
    "That is the perplexity, e to the power of the loss. The task asks for the loss.": (
        lambda logits, targets: math.exp(loss(logits, targets))
    ),
    "The logarithm of the sum is missing: ln p is the logit minus the logarithm of the row's sum.": (
        lambda logits, targets: shifted_sums(logits, targets, torch.clone)
    ),
    "You apply softmax twice. Once turns logits into probabilities.": partial(
        loss, scores=lambda logits: log_softmax(softmax(logits))
    ),
}


FAR_AWAY = (
    "in float32, e to the power of 1000 is infinite and of -1000 is 0. Take the largest logit of each row away first."
)
ONE_FOR_ALL = (
    "the powers of e of some whole row have become 0, and log(0) is minus infinity. "
    "Take away from each row its own largest logit, not that of all rows."
)
FAR_APART = (  # who comes so far has taken the largest logit away
    "float32 makes a very small probability 0, and log(0) is minus infinity. So take no logarithm of a probability: "
    "ln p is the logit minus the logarithm of the row's sum."
)


@exercise(
    "10.2",
    mistakes=LOSSES,
    forbidden=READY_MADE,
    solved="It agrees with PyTorch's cross_entropy, and does not break on logits of 1000 or -1000.",
    hints=[
        "First take the largest logit of each row away from the row. The probabilities stay the same, and no power "
        "of e is larger than 1.",
        "The logarithm of a softmax is: the logit, minus the logarithm of the sum of all the row's powers of e.",
        "Each position has one target: `logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)` has shape "
        "(batch, num_tokens).",
        "With `shifted = logits - logits.amax(dim=-1, keepdim=True)` and `wanted` picked from it by gather: "
        "`(shifted.exp().sum(dim=-1).log() - wanted).mean()`",
    ],
)
def my_cross_entropy(answer):
    check_function(answer, scored_text(), cross_entropy, LOSSES)
    far_away = [(logits + offset, targets) for logits, targets in scored_text() for offset in (1000.0, -1000.0)]
    far_apart = [(1000 * logits, targets) for logits, targets in scored_text()]
    for cases, reason in ((far_away, FAR_AWAY), (far_apart, FAR_APART)):
        for case, result in zip(cases, call_all(answer, cases), strict=True):
            found, right = as_number(result), cross_entropy(*case)
            if math.isclose(found, right, rel_tol=1e-3, abs_tol=1e-3):  # float32 keeps 4 digits after a 1000's point
                continue
            why = reason
            if cases is far_apart and found == -math.inf:
                why = ONE_FOR_ALL
            elif cases is far_apart and not math.isfinite(as_number(call(answer, case[0], case[0].argmax(dim=-1)))):
                why = FAR_AWAY  # no probability is small there, so it is a power that is too large
            instead = f" instead of {right:.5g}" if math.isfinite(found) else ""
            if why is FAR_APART and found == math.inf:
                # Here e to the power of -95 is no 0 yet, but of 95 it is infinite.
                ninety_five_apart = torch.tensor([[[0.0, 95.0]]]), torch.tensor([[0]])
                why = FAR_AWAY if as_number(call(answer, *ninety_five_apart)) == math.inf else why
            raise Wrong(
                f"On small logits your loss is right. With logits of some thousand it is {found:.5g}{instead}: {why}",
                case,
            )


def pieces(token_ids, starts, context_length, shift=0):
    return torch.stack([token_ids[start + shift :][:context_length] for start in starts.tolist()])


TARGETS = {
    "Nothing is mended yet: each target is the token before its input, which the model has already read.": (
        lambda *case: pieces(*case).roll(1, dims=1)
    ),
    "The direction is right now. But roll brings each piece's first token round to its end; "
    "the last target is the token that follows in the text.": lambda *case: pieces(*case).roll(-1, dims=1),
    "Your targets are the inputs themselves. The model would learn to repeat the token it has just read.": pieces,
    "You moved on by two tokens, so each prediction leaves one token out. Move on by one.": partial(pieces, shift=2),
    "The direction is right now. But your last target is always 0: take the token that follows in the text.": (
        lambda *case: F.pad(pieces(*case)[:, 1:], (0, 1))
    ),
}


@exercise(
    "10.3",
    mistakes=TARGETS,
    solved="A loss that falls to 0 within minutes is a warning: perhaps the model can see its answers.",
    hints=[
        "Write each piece and its targets under one another. Which token should stand under 10?",
        "There are two faults. One is the direction; the other is what stands in the last column.",
        "The last target of a piece is not in the piece: it is the token of the text that follows it.",
        "Cut the targets out of the text, one token further on than the inputs: "
        "`token_ids[start + 1 : start + 1 + context_length]`",
    ],
)
def mended_targets(answer):
    token_ids = 1 + torch.randperm(1000, generator=torch.Generator().manual_seed(3))[:60]

    def cut_at(*starts_and_lengths):
        return on_each_device([(token_ids, torch.tensor(starts), length) for starts, length in starts_and_lengths])

    right = partial(pieces, shift=1)
    check_function(answer, cut_at(([0, 3, 20], 4), ([7], 6), ([5, 4], 1)), right, TARGETS)
    to_the_last_token = cut_at(([51, 0], 8))
    check_function(answer, to_the_last_token, right, {})


number(
    "10.4",
    2**2.25,
    mistakes={
        "That is the mean loss, in nats. Perplexity is e to the power of it.": 2.25 * math.log(2),
        "That is the mean loss in bits (logarithm to base 2). Perplexity is 2 to the power of it.": 2.25,
        "You mixed two bases: 2.25 is the mean loss in bits, and e belongs to nats.": math.exp(2.25),
        "You averaged the probabilities first. Take the logarithm of each one, then the mean.": 4.0,
        "That is the mean of 1 / p. Perplexity averages the logarithms: large numbers weigh less.": 5.5,
        "That is e to the power of the sum of the losses. Take their mean.": 512.0,
        "That is the sum of the four losses. Take their mean, then e to the power of it.": 9 * math.log(2),
        "That is the geometric mean of the probabilities. Perplexity is 1 divided by it.": 2**-2.25,
        "That is the mean probability. Take minus the logarithm of each one, then the mean.": 0.25,
    },
    tolerance=0.01,
    solved="As unsure as if it chose among 4.8 equally likely tokens: the geometric mean of 2, 4, 8 and 8.",
    hints=[
        "The loss of one prediction is -ln p. The loss of the text is the mean of the four.",
        "ln 2, ln 4, ln 8 and ln 8 are 1, 2, 3 and 3 times ln 2.",
        "Perplexity is e to the power of the mean loss. e to the power of ln 2 is 2.",
        "The mean loss is 2.25 times ln 2, so the perplexity is `2 ** 2.25`.",
    ],
)

number(
    "10.5",
    40,
    mistakes={
        "At that step its validation loss has already begun to rise.": list(range(60, 300, 20)),
        "At the end that run's training loss is lowest, but its validation loss has long been rising.": 300,
        "After step 20 its validation loss still falls once more.": 20,
        "The second mark, yes. Answer with the step at which it stands.": 2,
        "B, yes: that run overfits. At which step was it best for new stories?": ["B", "run B"],
        "A does not overfit: its validation loss falls to the end. And the answer is a step.": ["A", "run A"],
        "C does not overfit: its validation loss falls to the end. And the answer is a step.": ["C", "run C"],
    },
    solved="Stopping there is called early stopping. B is 128 wide and read 12 stories; "
    "A is 4 wide and read the same 12; C is 64 wide and read 60.",
    hints=[
        "A run overfits when its training loss goes on falling while its validation loss rises.",
        "Find that run's letter on the right, and there the lowest of its marks.",
        "It is run B, and its lowest mark is the second one.",
    ],
)
