"""The networks of the schemes' fixtures, by hand: pre-activation basic blocks, stepped by one scheme.

`stem.conv` 3x3 to the first width; two stages of the given widths and numbers of blocks, strides 1 and 2; `head.bn`
ReLU, global average pool, `head.linear`. Layouts of terms and projections are those of networks.py.

Steps, with f the block's own term (`stage1.block0.conv1`, ...), g that under `.g`, and h = u_{n-1}. The only block that
changes the shape is the first of stage 2. It is u' = P(u) + f(u) in all schemes but `fractal` (no projection; the first
terms take the stride) and `momentum` (P(u) + (1 - gamma) f(u)). Schemes with a history go on with P(u) as u_{n-1}.

- linear_multistep  (1 - k) u + k h + f(u), with one k a channel; the first block is plain
- midpoint          h + 2 f(u); the first block is u + f(u)
- leapfrog          2 u - h + f(u); the first block is u + f(u) / 2
- momentum          v' = 0.9 v + 0.1 f(u), u' = u + v'; v = 0 at first and after the change of shape
- rk4               classical, all four stages by f
- poly_2, poly_3    u + f(u) + f(f(u)) [+ f(f(f(u)))]
- mpoly_2, two_way  u + f(u) + g(f(u)), u + f(u) + g(u)
- fractal           three columns: F_1 = T, F_{c+1}(u) = (T(u) + F_c(F_c(u))) / 2; T's are named `columnC.termI`, I in the
                    order of their first use, where the short path comes first and the inner F_c before the outer
- reversible        X' = X + f(Y), Y' = Y + g(X') of the halves of the channels, terms named `.f` and `.g`
"""

from dataclasses import dataclass

import torch
from networks import Projection, conv
from torch import Tensor, nn
from torch.nn.functional import relu

GAMMA = 0.9
COLUMNS = 3


@dataclass(frozen=True)
class SchemeShape:
    scheme: str
    widths: tuple[int, int] = (4, 8)
    blocks: tuple[int, int] = (3, 2)
    classes: int = 10


class Term(nn.Module):
    """BN ReLU conv3x3 (stride) BN ReLU conv3x3."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), conv(inputs, outputs, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(outputs), conv(outputs, outputs, 3)

    def f(self, u: Tensor) -> Tensor:
        return self.conv2(relu(self.bn2(self.conv1(relu(self.bn1(u))))))


class EulerBlock(Term):
    """u' = P(u) + f(u): what most schemes do where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__(inputs, outputs, stride)
        self.projection = Projection(inputs, outputs, stride, "pre")

    def step(self, u: Tensor, scale: float = 1) -> tuple[Tensor, Tensor]:
        projected = self.projection(u)
        return projected + scale * self.f(u), projected


class SchemeBlock(Term):
    """A block that keeps the shape; `first`: it has no history."""

    def __init__(self, scheme: str, channels: int, first: bool):
        super().__init__(channels, channels, 1)
        self.scheme, self.first = scheme, first
        if scheme in ("mpoly_2", "two_way"):
            self.g = Term(channels, channels, 1)
        if scheme == "linear_multistep" and not first:
            self.k = nn.Parameter(torch.zeros(channels))

    def step(self, u: Tensor, h: Tensor | None) -> Tensor:
        f = self.f
        match self.scheme:
            case "linear_multistep":
                if self.first:
                    return u + f(u)
                k = self.k[:, None, None]
                return (1 - k) * u + k * h + f(u)
            case "midpoint":
                return u + f(u) if self.first else h + 2 * f(u)
            case "leapfrog":
                return u + f(u) / 2 if self.first else 2 * u - h + f(u)
            case "momentum":
                velocity = 0 if h is None or self.first else u - h
                return u + GAMMA * velocity + (1 - GAMMA) * f(u)
            case "rk4":
                f1 = f(u)
                f2 = f(u + f1 / 2)
                f3 = f(u + f2 / 2)
                f4 = f(u + f3)
                return u + (f1 + 2 * f2 + 2 * f3 + f4) / 6
            case "poly_2":
                first = f(u)
                return u + first + f(first)
            case "poly_3":
                first = f(u)
                second = f(first)
                return u + first + second + f(second)
            case "mpoly_2":
                first = f(u)
                return u + first + self.g.f(first)
            case "two_way":
                return u + f(u) + self.g.f(u)
        raise ValueError(self.scheme)


class FractalBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        for column in range(1, COLUMNS + 1):
            terms = nn.Module()
            for index in range(2 ** (COLUMNS - column)):
                own = Term(inputs, outputs, stride) if index == 0 else Term(outputs, outputs, 1)
                terms.add_module(f"term{index}", own)
            self.add_module(f"column{column}", terms)

    def forward(self, u: Tensor) -> Tensor:
        remaining = {column: getattr(self, f"column{column}").children() for column in range(1, COLUMNS + 1)}

        def fractal(u: Tensor, columns: int) -> Tensor:
            short = next(remaining[columns]).f(u)
            if columns == 1:
                return short
            return (short + fractal(fractal(u, columns - 1), columns - 1)) / 2

        return fractal(u, COLUMNS)


class ReversibleBlock(nn.Module):
    """A reversible block: `f` and `g` of half the channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.f, self.g = Term(channels // 2, channels // 2, 1), Term(channels // 2, channels // 2, 1)

    def forward(self, u: Tensor) -> Tensor:
        x, y = u.chunk(2, dim=1)
        x = x + self.f.f(y)
        y = y + self.g.f(x)
        return torch.cat((x, y), dim=1)


class SchemeHead(nn.Module):
    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.bn, self.linear = nn.BatchNorm2d(channels), nn.Linear(channels, classes)

    def forward(self, u: Tensor) -> Tensor:
        return self.linear(relu(self.bn(u)).mean(dim=(2, 3)))


class SchemeNetwork(nn.Module):
    def __init__(self, shape: SchemeShape):
        super().__init__()
        self.scheme = shape.scheme
        self.stem = nn.Module()
        self.stem.conv = conv(3, shape.widths[0], 3)
        channels = shape.widths[0]
        for stage, (width, count) in enumerate(zip(shape.widths, shape.blocks, strict=True), start=1):
            blocks = nn.Module()
            for index in range(count):
                changes = stage == 2 and index == 0
                stride = 2 if changes else 1
                if shape.scheme == "fractal":
                    block = FractalBlock(channels, width, stride)
                elif changes:
                    block = EulerBlock(channels, width, stride)
                elif shape.scheme == "reversible":
                    block = ReversibleBlock(channels)
                else:
                    block = SchemeBlock(shape.scheme, channels, first=stage == 1 and index == 0)
                blocks.add_module(f"block{index}", block)
                channels = width
            self.add_module(f"stage{stage}", blocks)
        self.head = SchemeHead(channels, shape.classes)

    def forward(self, images: Tensor) -> Tensor:
        u, history = self.stem.conv(images), None
        for block in (*self.stage1.children(), *self.stage2.children()):
            if isinstance(block, EulerBlock):
                u, history = block.step(u, 1 - GAMMA if self.scheme == "momentum" else 1)
            elif isinstance(block, SchemeBlock):
                u, history = block.step(u, history), u
            else:
                u = block(u)
        return self.head(u)


SCHEMES = (
    "linear_multistep",
    "midpoint",
    "leapfrog",
    "momentum",
    "rk4",
    "poly_2",
    "poly_3",
    "mpoly_2",
    "two_way",
    "fractal",
    "reversible",
)
