"""The exercises of notebook 03, activations."""

import math
from functools import partial

import torch
import torch.nn.functional as F

from gptcore.exercises.checking import (
    Wrong,
    as_number,
    check_function,
    check_number,
    choice,
    exercise,
    function,
    on_each_device,
)
from gptcore.exercises.ready_made import GELUS

ROOT = math.sqrt(2 / math.pi)


def tanh_form(x, factor=ROOT, cubic=0.044715, power=3, half=0.5, one=1):
    return half * x * (one + torch.tanh(factor * (x + cubic * x**power)))


def tanh_by_powers(x):
    inner = ROOT * (x + 0.044715 * x**3)
    return 0.5 * x * (1 + (inner.exp() - (-inner).exp()) / (inner.exp() + (-inner).exp()))


def tanh_by_one_power(x, sign=1):
    power = (sign * 2 * ROOT * (x + 0.044715 * x**3)).exp()
    return 0.5 * x * (1 + sign * (power - 1) / (power + 1))


def gelu_inputs():
    generator = torch.Generator().manual_seed(3)
    inputs = [
        torch.tensor([-2.7, 2.7]),  # where tanh form and exact form differ most
        torch.tensor([-20.0, -3.0, -1e-3, 0.0, 1e-3, 0.5, 1.0, 20.0]),
        torch.tensor(-0.75),
        2 * torch.randn(2, 4, 6, generator=generator),
    ]
    return [*on_each_device([(x,) for x in inputs]), (inputs[-1].double(),)]


function(
    "03.1",
    partial(F.gelu, approximate="tanh"),
    cases=gelu_inputs,
    forbidden=GELUS,
    mistakes={
        "The formula is right, but e to the power of a large number is infinite in float32, and infinity divided by "
        "infinity is nan. torch.tanh takes care of that.": [
            tanh_by_powers,
            tanh_by_one_power,
            partial(tanh_by_one_power, sign=-1),
        ],
        "That is the exact form. GPT-2's tanh form differs by up to 0.0005, most at x = 2.7 and -2.7.": F.gelu,
        "That is ReLU. GELU has no corner, and lets a little through left of 0.": torch.relu,
        "That is the sigmoid form, a cheaper one, off by up to 0.02. The tanh form is asked for.": (
            lambda x: x * torch.sigmoid(1.702 * x)
        ),
        "That is Swish, x * sigmoid(x): related, but not GELU.": F.silu,
        "Your cubic term is missing: 0.044715 * x**3 is added to x inside tanh.": partial(tanh_form, cubic=0),
        "You add x**3 whole. It is multiplied by 0.044715 first.": partial(tanh_form, cubic=1),
        "You take the square of x. The formula has the cube: x**3.": partial(tanh_form, power=2),
        "Twice too large: the 0.5 in front is missing.": partial(tanh_form, half=1),
        "The 1 is missing: it is 1 + tanh(...). Without it, negative inputs turn positive.": partial(tanh_form, one=0),
        "That is the share that is kept, between 0 and 1. GELU is x times it.": (
            lambda x: 0.5 * (1 + torch.tanh(ROOT * (x + 0.044715 * x**3)))
        ),
        "You multiply by 2 / pi. The formula has its root.": partial(tanh_form, factor=2 / math.pi),
        "The root of 2 / pi in front of the parentheses is missing.": partial(tanh_form, factor=1),
        "Your root multiplies x only. It stands before the parentheses: it multiplies the cubic term, too.": partial(
            tanh_form, cubic=0.044715 / ROOT
        ),
    }
    | {
        f"Your cube is multiplied by {cubic}; GPT-2's by 0.044715.": partial(tanh_form, cubic=cubic)
        for cubic in (0.04, 0.044, 0.045, 0.0447, 0.04471, 0.0044715, 0.44715)
    },
    solved="It agrees with PyTorch's tanh mode, also where the exact form does not.",
    hints=[
        "Build it from the inside out: the cubic, the root in front of it, tanh, plus 1, times x, times a half.",
        "`torch.tanh` works number by number; `math.sqrt(2 / math.pi)` is the root; `x**3` is the cube.",
        "`inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)`",
        "`0.5 * x * (1 + torch.tanh(inner))`",
    ],
    tolerance=2e-6,
)


def mystery_slopes(x):
    """Return the slopes of four activation functions at `x`, by letter: the curves of task 03.2."""
    slopes = {}
    for letter, activation in zip("ABCD", (F.silu, F.gelu, F.softplus, F.relu), strict=True):
        points = x.detach().clone().requires_grad_()
        (slopes[letter],) = torch.autograd.grad(activation(points).sum(), points)
    return slopes


choice(
    "03.2",
    "b",
    mistakes={
        "Very near: A dips below 0 and rises above 1, too. But its top is at 2.4, and GELU is steepest at 1.41. "
        "A belongs to Swish.": "a",
        "C never falls below 0 and never exceeds 1, so its function only rises. GELU falls first, then rises.": "c",
        "D jumps from 0 to 1: that is ReLU's slope. GELU has no corner.": "d",
    },
    solved="A is Swish, C softplus (log(1 + exp(x))), D ReLU.",
    hints=[
        "Is GELU's slope ever negative? Is it ever larger than 1? That leaves two of the four.",
        "The notebook found the place where GELU is steepest. Which of the two curves has its top there?",
        "GELU is steepest at the root of 2, with slope 1.13. Which curve has its top at x = 1.4?",
    ],
)

LOWEST_POINTS = {
    "That is how deep the lowest point is. At which x does it lie?": [-0.2785, 0.2785],
    "The size is right, but the lowest point lies left of 0.": 1.2785,
    "That is GELU's lowest point. Swish's lies further out.": [-0.7518, -0.7525],
    "Nearly: for three digits after the point the grid must be finer.": -1.28,
    "There the slope is smallest. The lowest point is where the slope is 0.": [-2.4, -2.3994],
}


@exercise(
    "03.3",
    mistakes=LOWEST_POINTS,
    solved="There Swish is -0.278: deeper than GELU's -0.170, and further out.",
    hints=[
        "Compute `F.silu` on a fine grid, and ask for the place of the smallest value, not for the value.",
        "`x = torch.linspace(-4, 4, 80_001)`, then `F.silu(x).argmin()` is the index of the lowest point.",
        "`x[F.silu(x).argmin()]`",
    ],
)
def lowest_point_of_swish(answer):
    if as_number(answer) > 10:
        raise Wrong("That looks like the index of the lowest point in your grid. Which x stands there?")
    check_number(answer, -1.27846, LOWEST_POINTS, tolerance=0.0006)


def before_relu():
    generator = torch.Generator().manual_seed(3)
    shapes = [(7, 5), (4, 20), (1, 6), (9, 1)]
    inputs = [torch.randn(shape, generator=generator) + shift for shape in shapes for shift in (-1.5, -0.3, 0.5)]
    inputs += [
        torch.tensor([[-1.0, 0.0, 2.0], [-2.0, -1.0, -3.0]]),  # a unit that is 0 at best is dead, too
        torch.tensor([[1e-5, -1.0], [-1.0, -2.0]]),  # and one that is hardly above 0 is not
        torch.zeros(3, 4),
        torch.ones(5, 2),
        torch.full((2, 3), -4.0),
    ]
    return on_each_device([(x,) for x in inputs])


function(
    "03.4",
    lambda x: (x <= 0).all(dim=0).sum().item(),
    cases=before_relu,
    mistakes={
        "Nothing is mended yet: ask of each unit whether it is off for all inputs.": (
            lambda x: (x <= 0).any(dim=1).sum().item()
        ),
        "`all` is right now, but you count inputs that reach no unit. Ask of each unit: which axis has to go?": (
            lambda x: (x <= 0).all(dim=1).sum().item()
        ),
        "The axis is right now. But a unit that is off for some input is not dead: another input still reaches it.": (
            lambda x: (x <= 0).any(dim=0).sum().item()
        ),
        "The axis and `all` are right. But at exactly 0, PyTorch's slope of ReLU is 0, too: keep the <=.": (
            lambda x: (x < 0).all(dim=0).sum().item()
        ),
        "However little above 0 a number is, there ReLU's slope is 1: compare with 0 itself.": (
            lambda x: (x <= 1e-3).all(dim=0).sum().item()
        ),
        "You count the units that are alive. The dead ones are the others.": lambda x: (x > 0).any(dim=0).sum().item(),
        "That is the share of dead units. How many are they?": lambda x: (x <= 0).all(dim=0).float().mean().item(),
        "You count every single number that is not positive, not the units.": lambda x: (x <= 0).sum().item(),
        "A unit can be negative on average and positive for one input: then it still learns from that one.": (
            lambda x: (x.sum(dim=0) <= 0).sum().item()
        ),
    },
    solved="One input that reaches a unit is enough to keep it alive.",
    hints=[
        "When is a unit dead: when it is negative for one input, or for every input?",
        "Rows are inputs, columns are units. In `all(dim=...)`, the axis that you name is the one that disappears.",
        "The axis of the inputs has to disappear, so that one answer for each unit remains: dim=0.",
        "`(before_relu <= 0).all(dim=0).sum().item()`",
    ],
    tolerance=0,
)


def swiglu(x, gate_weight, value_weight, back_weight, *, bend=F.silu, bend_value=torch.clone, combine=torch.mul):
    gate, value = F.linear(x, gate_weight), F.linear(x, value_weight)
    return F.linear(combine(bend(gate), bend_value(value)), back_weight)


SWIGLU_MISTAKES = {
    "Your products lack the .T: weights are stored (out, in), as in nn.Linear. With square ones nothing warns.": (
        lambda x, gate, value, back: swiglu(x, gate.T, value.T, back.T)
    ),
    "One of your products lacks the .T: weights are stored (out, in), as in nn.Linear. With square ones nothing "
    "warns.": [
        lambda x, gate, value, back: swiglu(x, gate.T, value, back),
        lambda x, gate, value, back: swiglu(x, gate, value.T, back),
        lambda x, gate, value, back: swiglu(x, gate, value, back.T),
    ],
    "Gate and value come from the same weights. The value is made with value_weight.": (
        lambda x, gate, value, back: swiglu(x, gate, gate, back)
    ),
    "Gate and value come from the same weights. The gate is made with gate_weight.": (
        lambda x, gate, value, back: swiglu(x, value, value, back)
    ),
    "Gate and value are swapped: the bend belongs to the one made with gate_weight.": (
        lambda x, gate, value, back: swiglu(x, value, gate, back)
    ),
    "Your gate is a plain sigmoid (that layer is called GLU). In SwiGLU it is Swish, x * sigmoid(x).": partial(
        swiglu, bend=torch.sigmoid
    ),
    "Your gate bends with GELU (that layer is called GEGLU). In SwiGLU it is Swish, F.silu.": [
        partial(swiglu, bend=F.gelu),
        partial(swiglu, bend=partial(F.gelu, approximate="tanh")),
    ],
    "Your gate bends with ReLU (that layer is called ReGLU). In SwiGLU it is Swish, F.silu.": partial(
        swiglu, bend=torch.relu
    ),
    "Your gate has no bend yet: F.silu belongs around it, before it multiplies the value.": partial(
        swiglu, bend=torch.clone
    ),
    "You add the gate to the value. A gate multiplies it.": partial(swiglu, combine=torch.add),
    "You bend the product. Bend the gate alone, then multiply.": partial(
        swiglu, bend=torch.clone, combine=lambda gate, value: F.silu(gate * value)
    ),
    "You bend the value, too. The bend belongs to the gate alone.": partial(swiglu, bend_value=F.silu),
    "The gate is right, but it has nothing to multiply yet: the value is missing.": partial(
        swiglu, combine=lambda gate, value: gate
    ),
    "Gate times value is right. The way back is missing: back_weight.": (
        lambda x, gate, value, back: F.silu(F.linear(x, gate)) * F.linear(x, value)
    ),
}


@exercise(
    "03.5",
    mistakes=SWIGLU_MISTAKES,
    solved="Three matrices: a layer, not a bend. Llama's feed-forward layer is this one.",
    hints=[
        "Three steps: a gate and a value from the same `x`, multiply them number by number, and lead the product back.",
        "The weights are stored as in `nn.Linear`, `(out, in)`: `x @ weight.T`, or `F.linear(x, weight)`.",
        "The bend is on the gate alone: `gate = F.silu(x @ gate_weight.T)` and `value = x @ value_weight.T`.",
        "`return (gate * value) @ back_weight.T`",
    ],
)
def my_swiglu(answer):
    square = swiglu_cases([((2, 3, 4), 4), ((1, 1, 4), 4)])  # here a forgotten .T is not noticed by itself
    check_function(answer, square, swiglu, SWIGLU_MISTAKES, tolerance=1e-4)
    others = swiglu_cases([((2, 3, 4), 10), ((1, 1, 6), 16), ((3, 7, 6), 2)])
    check_function(answer, others, swiglu, {}, tolerance=1e-4)


def swiglu_cases(shapes):
    """Return inputs for each (shape of x, hidden width) of `shapes`."""
    generator = torch.Generator().manual_seed(5)
    cases = []
    for shape, hidden_dim in shapes:
        emb_dim = shape[-1]
        x = torch.randn(shape, generator=generator)
        gate_weight, value_weight = torch.randn(2, hidden_dim, emb_dim, generator=generator)
        back_weight = torch.randn(emb_dim, hidden_dim, generator=generator)
        cases.append((x, gate_weight, value_weight, back_weight))
    return on_each_device(cases)
