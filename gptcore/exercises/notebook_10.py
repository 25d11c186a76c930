"""Checks and hints for notebook 10, what training buys."""

import math

import torch
import torch.nn.functional as F

from gptcore.exercises.checking import Wrong, as_number, call, check_function, check_number, devices, exercise


def each_loss(logits, targets, dim=-1):
    """Return the loss of every position, (batch, num_tokens); softmax goes over `dim`."""
    return -logits.log_softmax(dim=dim).gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def cross_entropy(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()).item()


def scored_text():
    """Return logits (batch, num_tokens, vocab_size) and targets of several shapes, on every device."""
    generator = torch.Generator().manual_seed(10)
    cases = []
    for shape in [(2, 4, 7), (1, 1, 5), (3, 6, 6), (1, 3, 2)]:
        logits = 2 * torch.randn(shape, generator=generator)
        targets = torch.randint(shape[-1], shape[:2], generator=generator)
        cases += [(logits.to(device), targets.to(device)) for device in devices()]
    return cases


@exercise(
    "10.1",
    hints=[
        "If all tokens get the same probability, which one does each of them get?",
        "The loss of one prediction is minus the natural logarithm of the probability of the token that came.",
        "-ln(1 / 8192) = ln(8192): `math.log(8192)`",
    ],
)
def loss_of_guessing(answer):
    mistakes = {
        13.0: "That is the logarithm to base 2, so it counts bits. Nats need the natural logarithm: math.log.",
        math.log10(8192): "That is the logarithm to base 10. Nats need the natural logarithm: math.log.",
        -math.log(8192): "The size is right. The loss is minus the logarithm of p, and so it is not negative.",
        8192: "That is the perplexity: e to the power of the loss. What is the loss?",
        1 / 8192: "So small is the probability of each token, 1 / 8192. The loss is minus its logarithm.",
        math.log(50257): "That would be right for GPT-2's vocabulary of 50,257 tokens. This one has 8,192.",
    }
    check_number(answer, math.log(8192), mistakes, tolerance=0.02)
    return "If a new model begins near this loss, all is well; it only does not know anything yet."


@exercise(
    "10.2",
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
    def right_tokens(logits, targets):
        return logits.softmax(dim=-1).gather(-1, targets.unsqueeze(-1))

    mistakes = [
        (
            lambda logits, targets: (each_loss(logits, targets).mean() / math.log(2)).item(),
            "Your logarithm has base 2, so the loss is in bits. Take the natural logarithm: torch.log.",
        ),
        (
            lambda logits, targets: each_loss(logits, targets).sum().item(),
            "You add the losses of all positions up. Cross-entropy is their mean.",
        ),
        (
            lambda logits, targets: each_loss(logits, targets).sum(dim=1).mean().item(),
            "You add up along the tokens and average over the batch only. The mean goes over all positions.",
        ),
        (
            lambda logits, targets: each_loss(logits, targets)[:, -1].mean().item(),
            "You look at the last position only. In training every position is a prediction that counts.",
        ),
        (
            lambda logits, targets: (each_loss(logits, targets).mean() / logits.shape[-1]).item(),
            "Your mean also divides by vocab_size. Divide by the number of predictions, batch times num_tokens.",
        ),
        (
            lambda logits, targets: each_loss(logits, targets, dim=1).mean().item(),
            "Your softmax goes over the positions. The tokens of the vocabulary share the probability: dim=-1.",
        ),
        (
            lambda logits, targets: each_loss(logits, targets, dim=0).mean().item(),
            "Your softmax goes over the batch. The tokens of the vocabulary share the probability: dim=-1.",
        ),
        (
            lambda logits, targets: -each_loss(logits, targets).mean().item(),
            "Only the sign is wrong: the loss is minus the logarithm.",
        ),
        (
            lambda logits, targets: right_tokens(logits, targets).mean().item(),
            "That is the mean probability of the right tokens. The loss takes minus its logarithm at each position.",
        ),
        (
            lambda logits, targets: -right_tokens(logits, targets).mean().item(),
            "You average minus the probabilities. Take the logarithm of each one first.",
        ),
        (
            lambda logits, targets: -right_tokens(logits, targets).mean().log().item(),
            "You average the probabilities and take one logarithm. The logarithm comes first, the mean last.",
        ),
        (
            lambda logits, targets: -logits.gather(-1, targets.unsqueeze(-1)).mean().item(),
            "You take the logits themselves. They become logarithms of probabilities only through softmax.",
        ),
        (
            lambda logits, targets: -logits.log_softmax(dim=-1)[..., targets].mean().item(),
            "At each position you pick the targets of all positions. Each position has one target: use gather.",
        ),
        (
            lambda logits, targets: each_loss(logits.softmax(dim=-1), targets).mean().item(),
            "You apply softmax twice. Once turns logits into probabilities.",
        ),
    ]
    check_function(answer, scored_text(), cross_entropy, mistakes)
    extremes = [(logits + offset, targets) for logits, targets in scored_text() for offset in (1000.0, -1000.0)]
    extremes += [(1000 * logits, targets) for logits, targets in scored_text()]
    for case in extremes:
        loss = as_number(call(answer, *case))
        if not math.isfinite(loss):
            raise Wrong(
                f"On small logits your loss is right. With logits of some thousand it is {loss}: in float32, e to the "
                "power of 1000 is infinite and of -1000 is 0. Take the largest logit of each row away first."
            )
    check_function(answer, extremes, cross_entropy, tolerance=1e-3)  # float32 keeps 4 digits after a 1000's point
    return "It agrees with PyTorch's cross_entropy, and does not break on logits of 1000 or -1000."


@exercise(
    "10.3",
    hints=[
        "Write each piece and its targets under one another. Which token should stand under 10?",
        "There are two faults. One is the direction; the other is what stands in the last column.",
        "The last target of a piece is not in the piece: it is the token of the text that follows it.",
        "Cut the targets out of the text, one token further on than the inputs: "
        "`token_ids[start + 1 : start + 1 + context_length]`",
    ],
)
def mended_targets(answer):
    def pieces(token_ids, starts, context_length, shift=0):
        return torch.stack([token_ids[start + shift :][:context_length] for start in starts.tolist()])

    def one_by_one_to_zero(*case):
        targets = pieces(*case).roll(-1, dims=1)
        targets[:, -1] = 0
        return targets

    mistakes = [
        (
            lambda *case: pieces(*case).roll(1, dims=1),
            "Nothing is mended yet: each target is the token before its input, which the model has already read.",
        ),
        (
            lambda *case: pieces(*case).roll(-1, dims=1),
            "The direction is right now. But roll brings each piece's first token round to its end; "
            "the last target is the token that follows in the text.",
        ),
        (
            pieces,
            "Your targets are the inputs themselves. The model would learn to repeat the token it has just read.",
        ),
        (
            lambda *case: pieces(*case, shift=2),
            "You moved on by two tokens, so each prediction leaves one token out. Move on by one.",
        ),
        (
            one_by_one_to_zero,
            "The direction is right now. But your last target is always 0: take the token that follows in the text.",
        ),
    ]
    generator = torch.Generator().manual_seed(3)
    token_ids = 1 + torch.randperm(1000, generator=generator)[:60]

    def on_devices(starts, context_length):
        return [(token_ids.to(device), torch.tensor(starts, device=device), context_length) for device in devices()]

    cases = [*on_devices([0, 3, 20], 4), *on_devices([7], 6), *on_devices([5, 4], 1)]
    check_function(answer, cases, lambda *case: pieces(*case, shift=1), mistakes)
    to_the_last_token = on_devices([51, 0], 8)
    check_function(answer, to_the_last_token, lambda *case: pieces(*case, shift=1))
    return "A loss that falls to 0 within minutes is a warning: perhaps the model can see its answers."


@exercise(
    "10.4",
    hints=[
        "The loss of one prediction is -ln p. The loss of the text is the mean of the four.",
        "ln 2, ln 4, ln 8 and ln 8 are 1, 2, 3 and 3 times ln 2.",
        "Perplexity is e to the power of the mean loss. e to the power of ln 2 is 2.",
        "The mean loss is 2.25 times ln 2, so the perplexity is `2 ** 2.25`.",
    ],
)
def perplexity_of_four(answer):
    mistakes = {
        2.25 * math.log(2): "That is the mean loss, in nats. Perplexity is e to the power of it.",
        2.25: "That is the mean loss in bits (logarithm to base 2). Perplexity is 2 to the power of it.",
        math.exp(2.25): "You mixed two bases: 2.25 is the mean loss in bits, and e belongs to nats.",
        4.0: "You averaged the probabilities first. Take the logarithm of each one, then the mean.",
        5.5: "That is the mean of 1 / p. Perplexity averages the logarithms: large numbers weigh less.",
        512.0: "That is e to the power of the sum of the losses. Take their mean.",
        9 * math.log(2): "That is the sum of the four losses. Take their mean, then e to the power of it.",
        0.25: "That is the mean probability. Take minus the logarithm of each one, then the mean.",
    }
    check_number(answer, 2**2.25, mistakes, tolerance=0.01)
    return "As unsure as if it chose among 4.8 equally likely tokens: the geometric mean of 2, 4, 8 and 8."


@exercise(
    "10.5",
    hints=[
        "A run overfits when its training loss goes on falling while its validation loss rises.",
        "Find that run's letter on the right, and there the lowest of its marks.",
        "It is run B, and its lowest mark is the second one.",
    ],
)
def best_step(answer):
    mistakes = {step: "At that step its validation loss has already begun to rise." for step in range(60, 300, 20)}
    mistakes |= {
        300: "At the end that run's training loss is lowest, but its validation loss has long been rising.",
        20: "After step 20 its validation loss still falls once more.",
        2: "The second mark, yes. Answer with the step at which it stands.",
    }
    check_number(answer, 40, mistakes)
    return (
        "Stopping there is called early stopping. B is 128 wide and read 12 stories; A is 4 wide and read the same 12; "
        "C is 64 wide and read 60."
    )
