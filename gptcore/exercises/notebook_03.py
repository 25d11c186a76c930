"""Checks and hints for notebook 03, activations."""

import math

import torch
import torch.nn.functional as F

from gptcore.exercises.checking import Wrong, as_number, check_choice, check_function, check_number, devices, exercise

ROOT = math.sqrt(2 / math.pi)


def tanh_form(x, factor=ROOT, cubic=0.044715, power=3, half=0.5, one=1):
    return half * x * (one + torch.tanh(factor * (x + cubic * x**power)))


@exercise(
    "03.1",
    hints=[
        "Build it from the inside out: the cubic, the root in front of it, tanh, plus 1, times x, times a half.",
        "`torch.tanh` works number by number; `math.sqrt(2 / math.pi)` is the root; `x**3` is the cube.",
        "`inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)`",
        "`0.5 * x * (1 + torch.tanh(inner))`",
    ],
)
def my_gelu(answer):
    generator = torch.Generator().manual_seed(3)
    inputs = [
        torch.tensor([-2.7, 2.7]),  # where tanh form and exact form differ most
        torch.tensor([-20.0, -3.0, -1e-3, 0.0, 1e-3, 0.5, 1.0, 20.0]),
        torch.tensor(-0.75),
        2 * torch.randn(2, 4, 6, generator=generator),
    ]
    cases = [(x.to(device),) for x in inputs for device in devices()]
    cases.append((inputs[-1].double(),))
    mistakes = [
        (F.gelu, "That is the exact form. GPT-2's tanh form differs by up to 0.0005, most at x = 2.7 and -2.7."),
        (torch.relu, "That is ReLU. GELU has no corner, and lets a little through left of 0."),
        (
            lambda x: x * torch.sigmoid(1.702 * x),
            "That is the sigmoid form, a cheaper one, off by up to 0.02. The tanh form is asked for.",
        ),
        (F.silu, "That is Swish, x * sigmoid(x): related, but not GELU."),
        (lambda x: tanh_form(x, cubic=0), "Your cubic term is missing: 0.044715 * x**3 is added to x inside tanh."),
        (lambda x: tanh_form(x, cubic=1), "You add x**3 whole. It is multiplied by 0.044715 first."),
        (lambda x: tanh_form(x, power=2), "You take the square of x. The formula has the cube: x**3."),
        (lambda x: tanh_form(x, half=1), "Twice too large: the 0.5 in front is missing."),
        (
            lambda x: tanh_form(x, one=0),
            "The 1 is missing: it is 1 + tanh(...). Without it, negative inputs turn positive.",
        ),
        (
            lambda x: 0.5 * (1 + torch.tanh(ROOT * (x + 0.044715 * x**3))),
            "That is the share that is kept, between 0 and 1. GELU is x times it.",
        ),
        (lambda x: tanh_form(x, factor=2 / math.pi), "You multiply by 2 / pi. The formula has its root."),
        (lambda x: tanh_form(x, factor=1), "The root of 2 / pi in front of the parentheses is missing."),
        (
            lambda x: 0.5 * x * (1 + torch.tanh(ROOT * x + 0.044715 * x**3)),
            "Your root multiplies x only. It stands before the parentheses: it multiplies the cubic term, too.",
        ),
    ]
    mistakes += [
        (lambda x, cubic=cubic: tanh_form(x, cubic=cubic), f"Your cube is multiplied by {cubic}; GPT-2's by 0.044715.")
        for cubic in (0.04, 0.044, 0.045, 0.0447, 0.04471, 0.0044715, 0.44715)
    ]
    check_function(answer, cases, lambda x: F.gelu(x, approximate="tanh"), mistakes, tolerance=2e-6)
    return "It agrees with PyTorch's tanh mode, also where the exact form does not."


def mystery_slopes(x):
    """Return the slopes of four activation functions at `x`, by letter: the curves of task 03.2."""
    slopes = {}
    for letter, function in zip("ABCD", (F.silu, F.gelu, F.softplus, F.relu), strict=True):
        points = x.detach().clone().requires_grad_()
        (slopes[letter],) = torch.autograd.grad(function(points).sum(), points)
    return slopes


@exercise(
    "03.2",
    hints=[
        "Is GELU's slope ever negative? Is it ever larger than 1? That leaves two of the four.",
        "The notebook found the place where GELU is steepest. Which of the two curves has its top there?",
        "GELU is steepest at the root of 2, with slope 1.13. Which curve has its top at x = 1.4?",
    ],
)
def slope_of_gelu(answer):
    mistakes = {
        "a": "Very near: A dips below 0 and rises above 1, too. But its top is at 2.4, and GELU is steepest at 1.41. "
        "A belongs to Swish.",
        "c": "C never falls below 0 and never exceeds 1, so its function only rises. GELU falls first, then rises.",
        "d": "D jumps from 0 to 1: that is ReLU's slope. GELU has no corner.",
    }
    check_choice(answer, "b", mistakes)
    return "A is Swish, C softplus (log(1 + exp(x))), D ReLU."


@exercise(
    "03.3",
    hints=[
        "Compute `F.silu` on a fine grid, and ask for the place of the smallest value, not for the value.",
        "`x = torch.linspace(-4, 4, 80_001)`, then `F.silu(x).argmin()` is the index of the lowest point.",
        "`x[F.silu(x).argmin()]`",
    ],
)
def lowest_point_of_swish(answer):
    number = as_number(answer)
    if number > 10:
        raise Wrong("That looks like the index of the lowest point in your grid. Which x stands there?")
    mistakes = {
        -0.2785: "That is how deep the lowest point is. At which x does it lie?",
        0.2785: "That is how deep the lowest point is. At which x does it lie?",
        1.2785: "The size is right, but the lowest point lies left of 0.",
        -0.7518: "That is GELU's lowest point. Swish's lies further out.",
        -1.28: "Nearly: for three digits after the point the grid must be finer.",
        -2.4: "There the slope is smallest. The lowest point is where the slope is 0.",
    }
    check_number(number, -1.27846, mistakes, tolerance=0.0006)
    return "There Swish is -0.278: deeper than GELU's -0.170, and further out."


def dead_units(before_relu):
    return (before_relu <= 0).all(dim=0).sum().item()


@exercise(
    "03.4",
    hints=[
        "When is a unit dead: when it is negative for one input, or for every input?",
        "Rows are inputs, columns are units. In `all(dim=...)`, the axis that you name is the one that disappears.",
        "The axis of the inputs has to disappear, so that one answer for each unit remains: dim=0.",
        "`(before_relu <= 0).all(dim=0).sum().item()`",
    ],
)
def mended_dead_units(answer):
    generator = torch.Generator().manual_seed(3)
    shapes = [(7, 5), (4, 20), (1, 6), (9, 1)]
    inputs = [torch.randn(shape, generator=generator) + shift for shape in shapes for shift in (-1.5, -0.3, 0.5)]
    inputs += [
        torch.tensor([[-1.0, 0.0, 2.0], [-2.0, -1.0, -3.0]]),  # a unit that is 0 at best is dead, too
        torch.zeros(3, 4),
        torch.ones(5, 2),
        torch.full((2, 3), -4.0),
    ]
    cases = [(x.to(device),) for x in inputs for device in devices()]
    mistakes = [
        (
            lambda x: (x <= 0).any(dim=1).sum().item(),
            "Nothing is mended yet: ask of each unit whether it is off for all inputs.",
        ),
        (
            lambda x: (x <= 0).all(dim=1).sum().item(),
            "`all` is right now, but you count inputs that reach no unit. Ask of each unit: which axis has to go?",
        ),
        (
            lambda x: (x <= 0).any(dim=0).sum().item(),
            "The axis is right now. But a unit that is off for some input is not dead: another input still reaches it.",
        ),
        (
            lambda x: (x < 0).all(dim=0).sum().item(),
            "The axis and `all` are right. But at exactly 0, PyTorch's slope of ReLU is 0, too: keep the <=.",
        ),
        (
            lambda x: (x > 0).any(dim=0).sum().item(),
            "You count the units that are alive. The dead ones are the others.",
        ),
        (
            lambda x: (x <= 0).all(dim=0).float().mean().item(),
            "That is the share of dead units. How many are they?",
        ),
        (lambda x: (x <= 0).sum().item(), "You count every single number that is not positive, not the units."),
        (
            lambda x: (x.sum(dim=0) <= 0).sum().item(),
            "A unit can be negative on average and positive for one input: then it still learns from that one.",
        ),
    ]
    check_function(answer, cases, dead_units, mistakes, tolerance=0)
    return "One input that reaches a unit is enough to keep it alive."


def swiglu(x, gate_weight, value_weight, back_weight, bend=F.silu):
    return F.linear(bend(F.linear(x, gate_weight)) * F.linear(x, value_weight), back_weight)


@exercise(
    "03.5",
    hints=[
        "Three steps: a gate and a value from the same `x`, multiply them number by number, and lead the product back.",
        "The weights are stored as in `nn.Linear`, `(out, in)`: `x @ weight.T`, or `F.linear(x, weight)`.",
        "The bend is on the gate alone: `gate = F.silu(x @ gate_weight.T)` and `value = x @ value_weight.T`.",
        "`return (gate * value) @ back_weight.T`",
    ],
)
def my_swiglu(answer):
    square = swiglu_cases([((2, 3, 4), 4), ((1, 1, 4), 4)])  # here a forgotten .T is not noticed by itself
    mistakes = [
        (
            lambda x, gate, value, back: swiglu(x, gate.T, value.T, back.T),
            "Your products miss the .T: weights are stored (out, in), as in nn.Linear. With square ones nothing warns.",
        ),
        (
            lambda x, gate, value, back: swiglu(x, value, gate, back),
            "Gate and value are swapped: the bend belongs to the one made with gate_weight.",
        ),
        (
            lambda *inputs: swiglu(*inputs, bend=torch.sigmoid),
            "Your gate is a plain sigmoid (that layer is called GLU). In SwiGLU it is Swish, x * sigmoid(x).",
        ),
        (
            lambda *inputs: swiglu(*inputs, bend=F.gelu),
            "Your gate bends with GELU (that layer is called GEGLU). In SwiGLU it is Swish, F.silu.",
        ),
        (
            lambda *inputs: swiglu(*inputs, bend=torch.relu),
            "Your gate bends with ReLU (that layer is called ReGLU). In SwiGLU it is Swish, F.silu.",
        ),
        (
            lambda *inputs: swiglu(*inputs, bend=lambda gate: gate),
            "Your gate has no bend yet: F.silu belongs around it, before it multiplies the value.",
        ),
        (
            lambda x, gate, value, back: F.linear(F.silu(F.linear(x, gate)) + F.linear(x, value), back),
            "You add the gate to the value. A gate multiplies it.",
        ),
        (
            lambda x, gate, value, back: F.linear(F.silu(F.linear(x, gate) * F.linear(x, value)), back),
            "You bend the product. Bend the gate alone, then multiply.",
        ),
        (
            lambda x, gate, value, back: F.linear(F.silu(F.linear(x, gate)) * F.silu(F.linear(x, value)), back),
            "You bend the value, too. The bend belongs to the gate alone.",
        ),
        (
            lambda x, gate, value, back: F.linear(F.silu(F.linear(x, gate)), back),
            "The gate is right, but it has nothing to multiply yet: the value is missing.",
        ),
        (
            lambda x, gate, value, back: F.silu(F.linear(x, gate)) * F.linear(x, value),
            "Gate times value is right. The way back is missing: back_weight.",
        ),
    ]
    check_function(answer, square, swiglu, mistakes, tolerance=1e-4)
    check_function(answer, swiglu_cases([((2, 3, 4), 10), ((1, 1, 6), 16), ((3, 7, 6), 2)]), swiglu, tolerance=1e-4)
    return "Three matrices: a layer, not a bend. Llama's feed-forward layer is this one."


def swiglu_cases(shapes):
    """Return inputs for each (shape of x, hidden width) of `shapes`."""
    generator = torch.Generator().manual_seed(5)
    cases = []
    for shape, hidden_dim in shapes:
        emb_dim = shape[-1]
        x = torch.randn(shape, generator=generator)
        gate_weight, value_weight = torch.randn(2, hidden_dim, emb_dim, generator=generator)
        back_weight = torch.randn(emb_dim, hidden_dim, generator=generator)
        cases += [[each.to(device) for each in (x, gate_weight, value_weight, back_weight)] for device in devices()]
    return cases
