"""One step of every scheme over one block of every kind: results and gradients in double precision, no training.

A case steps from `u` and, where its scheme has one, the history `previous`, to `next` and, where the scheme has one, the
history handed on. Both sides draw the inputs from the same small generator, so the file holds results alone: for each
case one vector, which joins

    next, history, the gradients of u, previous and of each parameter, each running statistic after the step

where parameters and statistics are in the order of their names, and what a case does not have is left out. Gradients are
those of <next, dNext> + <history, dHistory>. After the step of a post-activation block comes the network's ReLU.

Images are [2, C, 4, 3]: of 2 channels, but 4 in each half of a reversible block. A block that changes the shape has
twice the channels in its results, and stride 2.
"""

from dataclasses import asdict, dataclass
from math import sqrt
from typing import Literal

import numpy as np
import torch
from networks import conv, shortcut_module
from torch import Tensor, nn
from torch.nn.functional import relu
from training import GRADIENT_AGREEMENT, ReluMargin, TooClose, relative_error

BATCH, HEIGHT, WIDTH = 2, 4, 3
CHANNELS, REVERSIBLE_HALF = 2, 4
GAMMA = 0.9
COLUMNS = 2
# A gradient below it is 0 but for rounding, as that of a shift that the next BN takes away again.
VANISHING = 1e-9
WITH_HISTORY = ("linear_multistep", "midpoint", "leapfrog", "momentum", "reversible")


@dataclass(frozen=True)
class BlockCase:
    scheme: str
    block: Literal["basic", "bottleneck"]
    activation: Literal["pre", "post"]
    # Of a bottleneck's 3x3 convolution.
    groups: int = 1
    # None: the shape stays.
    shortcut: Literal["projection", "bare_projection", "zero_pad"] | None = None
    # Of linear_multistep.
    transition: Literal["plain", "project_both"] = "plain"
    perChannel: bool = False
    # Whether the step has no history to go on from.
    first: bool = False

    @property
    def name(self) -> str:
        kind = "resnext" if self.groups > 1 else self.block
        options = [self.shortcut, self.transition if self.scheme == "linear_multistep" and self.shortcut else None]
        options += ["per_channel" if self.perChannel else None, "first" if self.first else None]
        return " ".join([self.scheme, f"{kind}-{self.activation}", *filter(None, options)])

    @property
    def reversible(self) -> bool:
        return self.scheme == "reversible"

    @property
    def uses_previous(self) -> bool:
        if self.scheme not in WITH_HISTORY or self.first:
            return False
        return self.shortcut is None or self.transition == "project_both" or self.reversible

    @property
    def inputs(self) -> int:
        return 2 * REVERSIBLE_HALF if self.reversible else CHANNELS

    @property
    def outputs(self) -> int:
        return self.inputs * (2 if self.shortcut else 1)

    @property
    def inner(self) -> int:
        """Channels of a bottleneck's 3x3 convolution, in a term of all outputs: two a group, also in a half's term."""
        return 2 * self.groups * (2 if self.reversible else 1)

    @property
    def stride(self) -> int:
        return 2 if self.shortcut else 1


class Generator:
    """Numbers from -1 to 1 by a linear congruential generator of 32 bits (Knuth; Numerical Recipes, 7.1)."""

    def __init__(self, seed: int):
        self.state = seed

    def draw(self, shape: tuple[int, ...], scale: float = 1, offset: float = 0) -> Tensor:
        values = []
        for _ in range(int(np.prod(shape))):
            self.state = (1664525 * self.state + 1013904223) % 2**32
            values.append(offset + scale * (self.state / 2**31 - 1))
        return torch.tensor(values, dtype=torch.float32).reshape(shape)

    def variable(self, name: str, shape: tuple[int, ...]) -> Tensor:
        if len(shape) == 4:
            out, _, height, width = shape
            return self.draw(shape, scale=sqrt(6 / (out * height * width)))
        return {
            "weight": lambda: self.draw(shape, scale=0.2, offset=1),
            "bias": lambda: self.draw(shape),
            "running_mean": lambda: self.draw(shape, scale=0.1),
            "running_var": lambda: self.draw(shape, scale=0.5, offset=1),
            "k": lambda: self.draw(shape, scale=0.5),
        }[name.rsplit(".", 1)[-1]]()


class Term(nn.Module):
    """f, of convolutions in a row: networks.py has the layouts. Without a shape it has none."""

    def __init__(self, case: BlockCase, shape: tuple[int, int, int] | None):
        super().__init__()
        self.pre = case.activation == "pre"
        if shape is None:
            return
        inputs, outputs, stride = shape
        if case.block == "basic":
            convolutions = [conv(inputs, outputs, 3, stride), conv(outputs, outputs, 3)]
        else:
            inner = case.inner * outputs // case.outputs
            convolutions = [
                conv(inputs, inner, 1),
                conv(inner, inner, 3, stride, groups=case.groups),
                conv(inner, outputs, 1),
            ]
        self.layers = len(convolutions)
        for number, convolution in enumerate(convolutions, start=1):
            channels = convolution.in_channels if self.pre else convolution.out_channels
            self.add_module(f"bn{number}", nn.BatchNorm2d(channels))
            self.add_module(f"conv{number}", convolution)

    def apply_to(self, u: Tensor) -> Tensor:
        for number in range(1, self.layers + 1):
            bn, convolution = getattr(self, f"bn{number}"), getattr(self, f"conv{number}")
            if self.pre:
                u = convolution(relu(bn(u)))
            else:
                u = bn(convolution(u))
                u = relu(u) if number < self.layers else u
        return u


class Step(Term):
    """A block with its step. What it has besides its own term depends on the scheme."""

    def __init__(self, case: BlockCase):
        has_f = case.scheme != "fractal" and (case.shortcut is not None or not case.reversible)
        shape = (case.inputs, case.outputs, case.stride)
        super().__init__(case, shape if has_f else None)
        self.case = case
        if case.shortcut and case.scheme != "fractal":
            self.projection = shortcut_module(case, *shape)
        if case.scheme == "linear_multistep" and not case.first:
            if case.shortcut is None or case.transition == "project_both":
                self.k = nn.Parameter(torch.zeros(case.outputs if case.perChannel else 1))
            if case.shortcut and case.transition == "project_both":
                self.history_projection = history_projection(case)
        if case.scheme in ("mpoly_2", "two_way") and not case.shortcut:
            self.g = Term(case, shape)
        if case.scheme == "fractal":
            self.column1, self.column2 = nn.Module(), nn.Module()
            self.column2.term0, self.column1.term0 = Term(case, shape), Term(case, shape)
            self.column1.term1 = Term(case, (case.outputs, case.outputs, 1))
        if case.reversible and not case.shortcut:
            self.f, self.g = (Term(case, (REVERSIBLE_HALF, REVERSIBLE_HALF, 1)) for _ in range(2))

    def forward(self, u: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        following, history = self.change(u, h) if self.case.shortcut else self.keep(u, h)
        return (following if self.pre else relu(following)), history

    def change(self, u: Tensor, h: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """A step that changes the shape."""
        scheme, f = self.case.scheme, self.apply_to
        if scheme == "fractal":
            return self.fractal(u), None
        if scheme == "reversible":
            u = torch.cat((u, h), dim=1)
            return self.projection(u) + f(u), None
        current = self.projection(u)
        if scheme == "linear_multistep" and self.case.transition == "project_both":
            k = self.k[:, None, None]
            return (1 - k) * current + k * self.history_projection(h) + f(u), current
        following = current + (1 - GAMMA if scheme == "momentum" else 1) * f(u)
        return following, current if scheme in WITH_HISTORY else None

    def keep(self, u: Tensor, h: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """A step that keeps the shape."""
        f = self.apply_to
        match self.case.scheme:
            case "forward_euler":
                return u + f(u), None
            case "linear_multistep":
                if h is None:
                    return u + f(u), u
                k = self.k[:, None, None]
                return (1 - k) * u + k * h + f(u), u
            case "midpoint":
                return (u + f(u) if h is None else h + 2 * f(u)), u
            case "leapfrog":
                return (u + f(u) / 2 if h is None else 2 * u - h + f(u)), u
            case "momentum":
                velocity = 0 if h is None else u - h
                return u + GAMMA * velocity + (1 - GAMMA) * f(u), u
            case "rk4":
                f1 = f(u)
                f2 = f(u + f1 / 2)
                f3 = f(u + f2 / 2)
                f4 = f(u + f3)
                return u + (f1 + 2 * f2 + 2 * f3 + f4) / 6, None
            case "poly_2":
                first = f(u)
                return u + first + f(first), None
            case "poly_3":
                first = f(u)
                second = f(first)
                return u + first + second + f(second), None
            case "mpoly_2":
                first = f(u)
                return u + first + self.g.apply_to(first), None
            case "two_way":
                return u + f(u) + self.g.apply_to(u), None
            case "fractal":
                return self.fractal(u), None
            case "reversible":
                x = u + self.f.apply_to(h)
                return x, h + self.g.apply_to(x)
        raise ValueError(self.case.scheme)

    def fractal(self, u: Tensor) -> Tensor:
        deep = self.column1.term1.apply_to(self.column1.term0.apply_to(u))
        return (self.column2.term0.apply_to(u) + deep) / 2


def history_projection(case: BlockCase) -> nn.Module:
    """Shaped like the projection, and BN-ReLU-1x1 also in a post-activation network."""
    as_pre = BlockCase(case.scheme, case.block, "pre", shortcut=case.shortcut)
    return shortcut_module(as_pre, case.inputs, case.outputs, case.stride)


def compute(case: BlockCase, seed: int, dtype: torch.dtype) -> list[Tensor]:
    """The parts of a case's vector."""
    generator = Generator(seed)
    step = Step(case)
    shape = (BATCH, REVERSIBLE_HALF if case.reversible else case.inputs, HEIGHT, WIDTH)
    inputs = [
        generator.draw(shape, scale=2).to(dtype).requires_grad_() for _ in range(2 if case.uses_previous else 1)
    ]

    state = step.state_dict()
    names = sorted(name for name in state if not name.endswith("num_batches_tracked"))
    step.load_state_dict({name: generator.variable(name, tuple(state[name].shape)) for name in names}, strict=False)
    step.to(dtype).train()
    outputs = [value for value in step(*inputs) if value is not None]
    cotangents = [generator.draw(tuple(value.shape), scale=2).to(dtype) for value in outputs]
    parameters = dict(step.named_parameters())
    trained = [parameters[name] for name in names if name in parameters]
    gradients = torch.autograd.grad(outputs, [*inputs, *trained], cotangents)
    statistics = [step.state_dict()[name] for name in names if name not in parameters]
    return [value.detach() for value in (*outputs, *gradients, *statistics)]


def hangs_on_rounding(case: BlockCase, seed: int) -> bool:
    """As of whole networks: see training.py."""
    try:
        with ReluMargin():
            double = compute(case, seed, torch.float64)
    except TooClose:
        return True
    single = compute(case, seed, torch.float32)
    return any(
        b.norm() > VANISHING and relative_error(a.double(), b) > GRADIENT_AGREEMENT
        for a, b in zip(single, double, strict=True)
    )


def block_cases() -> list[BlockCase]:
    kinds = [
        {"block": block, "groups": groups, "activation": activation}
        for block, groups in (("basic", 1), ("bottleneck", 1), ("bottleneck", 2))
        for activation in ("pre", "post")
    ]
    others = ("midpoint", "leapfrog", "momentum", "rk4", "poly_2", "poly_3", "mpoly_2", "two_way", "fractal")
    cases = []
    for kind in kinds:
        cases += [BlockCase(scheme, **kind) for scheme in ("forward_euler", "linear_multistep", *others)]
        cases.append(BlockCase("linear_multistep", **kind, perChannel=True))
        # Its network has no ReLU after the step, which could not be undone.
        if kind["activation"] == "pre":
            cases.append(BlockCase("reversible", **kind))
        cases += [
            BlockCase("forward_euler", **kind, shortcut=shortcut)
            for shortcut in ("projection", "bare_projection", "zero_pad")
        ]
        cases += [
            BlockCase("linear_multistep", **kind, shortcut="projection", transition=transition)
            for transition in ("plain", "project_both")
        ]
    basic = kinds[0]
    cases += [BlockCase(scheme, **basic, first=True) for scheme in WITH_HISTORY if scheme != "reversible"]
    cases += [BlockCase(scheme, **basic, shortcut="projection") for scheme in (*others, "reversible")]
    cases += [
        BlockCase("linear_multistep", **basic, shortcut=shortcut, transition="project_both")
        for shortcut in ("bare_projection", "zero_pad")
    ]
    cases.append(
        BlockCase("linear_multistep", **basic, shortcut="projection", transition="project_both", perChannel=True)
    )
    return cases


def make_blocks() -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """The vectors by case, and for the metadata what each case is."""
    arrays, about = {}, {}
    for case in block_cases():
        seed = next(seed for seed in range(1000) if not hangs_on_rounding(case, seed))
        vector = torch.cat([value.flatten() for value in compute(case, seed, torch.float64)])
        arrays[case.name] = vector.float().numpy()
        derived = {"inputs": case.inputs, "outputs": case.outputs, "stride": case.stride, "inner": case.inner}
        about[case.name] = asdict(case) | derived | {"usesPrevious": case.uses_previous, "seed": seed}
    return arrays, {"cases": about}
