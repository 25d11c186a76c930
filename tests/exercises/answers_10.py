"""Wrong answers to the exercises of notebook 10 that no mistake is declared for, and words of what is said of each."""


def picked(values, targets):
    return values.gather(-1, targets.unsqueeze(-1))


def naive(logits, targets):
    powers = logits.exp()
    return -picked((powers / powers.sum(-1, keepdim=True)).log(), targets).mean()


def shifts_first(logits, targets):
    return naive(logits - logits.amax(-1, keepdim=True), targets)


def shifts_by_one_for_all(logits, targets):
    shifted = logits - logits.max()
    return (shifted.exp().sum(-1).log() - picked(shifted, targets)[..., 0]).mean()


def shifts_by_the_mean(logits, targets):
    shifted = logits - logits.mean(-1, keepdim=True)
    return (shifted.exp().sum(-1).log() - picked(shifted, targets)[..., 0]).mean()


def adds_a_little(logits, targets):
    shifted = logits - logits.amax(-1, keepdim=True)
    return -(picked(shifted.exp() / shifted.exp().sum(-1, keepdim=True), targets) + 1e-9).log().mean()


def shifts_by_the_target(logits, targets):
    return (logits - picked(logits, targets)).exp().sum(-1).log().mean()


WRONG = {
    "10.1": [(0.001, "too small"), ("ln 8192", "got the text")],
    "10.2": [
        (naive, "it is nan: in float32, e to the power of 1000 is infinite"),
        (lambda logits, targets: -picked(logits.softmax(-1).log(), targets).mean().item(), "it is inf: float32 makes"),
        (shifts_by_one_for_all, "it is -inf: the powers of e of some whole row have become 0"),
        (shifts_by_the_mean, "it is inf: in float32, e to the power of 1000 is infinite"),
        (adds_a_little, "it is 18.133 instead of 2676.6: float32 makes a very small probability 0"),
        (shifts_first, "log(0) is minus infinity. So take no logarithm of a probability"),
        (lambda logits, targets: (logits.exp().sum(-1).log() - picked(logits, targets)[..., 0]).mean(), "it is inf"),
        (lambda logits, targets: -picked(logits.log_softmax(-1), targets).mean(dim=(0, 2)), "Expected one number"),
        (shifts_by_the_target, "it is inf: in float32, e to the power of 1000 is infinite"),
    ],
    "10.3": [(lambda ids, starts, length: ids.unfold(0, length, 1)[starts + 1, 1:], "expected is (3, 4)")],
    "10.5": [(45, "too large")],
}
