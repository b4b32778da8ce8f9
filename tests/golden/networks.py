"""The networks of the fixtures, by hand, with the parameter names that checkpoints use.

Layouts
=======

Convolutions have no bias. BN has `weight` (gamma), `bias` (beta), `running_mean` and `running_var`, epsilon 1e-5 and
momentum 0.1 (running_var takes the unbiased variance); parameter counts count gamma and beta.

Block, `f`
----------
- basic, pre-activation:       `bn1` ReLU `conv1` 3x3 (stride) - `bn2` ReLU `conv2` 3x3
- bottleneck, pre-activation:  `bn1` ReLU `conv1` 1x1 (to D) - `bn2` ReLU `conv2` 3x3 (stride, groups) -
                               `bn3` ReLU `conv3` 1x1 (to 4w). D = cardinality * w for ResNeXt, w for a ResNet.
- bottleneck, post-activation: `conv1` 1x1 `bn1` ReLU - `conv2` 3x3 (stride, groups) `bn2` ReLU - `conv3` 1x1 `bn3`

- basic, post-activation:      `conv1` 3x3 (stride) `bn1` ReLU - `conv2` 3x3 `bn2`

Every BN of `f` is its own; nothing is shared with the projections.

Projection P, in the first block of a stage if the number of channels changes there
------------------------------------------------------------------------------------
- pre-activation:  `projection.bn` (over the input channels) ReLU `projection.conv` 1x1 (stride)
- post-activation: `projection.conv` 1x1 (stride) `projection.bn` (over the output channels)
- shortcut = "bare_projection": `projection.conv` 1x1 (stride) alone
- shortcut = "zero_pad": every second pixel of every second row, zeros in the channels that are new; no parameters

A basic network has no projection in stage 1 (16 channels in and out); a bottleneck network has one there too.

Network
-------
- pre-activation:  `stem.conv` 3x3 (3 to the stem's width) and nothing after it; stages; `head.bn` ReLU, global average
                   pool, `head.linear`
- post-activation: `stem.conv` 3x3 `stem.bn` ReLU; stages; global average pool, `head.linear`

- stem = "large":  `stem.conv` 7x7 (stride 2, padding 3) `stem.bn` ReLU, max pool 3x3 (stride 2, padding 1), in both

Three stages, strides 1, 2, 2 (in the first block). Basic and bottleneck ResNet: stem 16, w = 16, 32, 64, stages of n
blocks. ResNeXt-29: stem 64, w = 64, 128, 256, stages of 3 blocks.

Step from (u_n, u_{n-1}) to u_{n+1}, with c = P(u_n) where the block has a projection and c = u_n elsewhere
------------------------------------------------------------------------------------------------------------
- plain block:                 c + f(u_n)   (post-activation: ReLU(c + f(u_n)))
- linear multi-step block:     (1 - k) c + k h + f(u_n), `k` of shape [1]; h = u_{n-1}, or Q(u_{n-1}) where the block
                               has a `history_projection` Q: BN ReLU 1x1 (stride), shaped like P, with its own weights
- in both, c becomes the next block's u_{n-1}. (So after a change of shape the history is P(u_n), never u_n.)

Which blocks are linear multi-step in an LM network
- the first block of the network is plain: there is no u_{n-1} yet
- transition = "plain":        the first block of stages 2 and 3 is plain. 3n - 3 scalars k
- transition = "project_both": the first block of stages 2 and 3 is linear multi-step, with Q. 3n - 1 scalars k
- all other blocks are linear multi-step
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, pad, relu

BOTTLENECK_EXPANSION = 4


@dataclass(frozen=True)
class NetworkShape:
    block: Literal["basic", "bottleneck"]
    blocks_per_stage: int
    stem_width: int
    widths: tuple[int, int, int]
    cardinality: int = 1
    activation: Literal["pre", "post"] = "pre"
    # None: every block is plain
    transition: Literal["plain", "project_both"] | None = None
    classes: int = 10
    stem: Literal["small", "large"] = "small"
    shortcut: Literal["projection", "bare_projection", "zero_pad"] = "projection"


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)


class Projection(nn.Module):
    """P and Q: a change of channels and of resolution."""

    def __init__(self, inputs: int, outputs: int, stride: int, activation: str):
        super().__init__()
        self.pre = activation == "pre"
        self.bn = nn.BatchNorm2d(inputs if self.pre else outputs)
        self.conv = conv(inputs, outputs, 1, stride)

    def forward(self, u: Tensor) -> Tensor:
        return self.conv(relu(self.bn(u))) if self.pre else self.bn(self.conv(u))


class BareProjection(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv = conv(inputs, outputs, 1, stride)

    def forward(self, u: Tensor) -> Tensor:
        return self.conv(u)


class ZeroPad(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.added, self.stride = outputs - inputs, stride

    def forward(self, u: Tensor) -> Tensor:
        return pad(u[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))


def shortcut_module(shape: NetworkShape, inputs: int, outputs: int, stride: int) -> nn.Module:
    if shape.shortcut == "projection":
        return Projection(inputs, outputs, stride, shape.activation)
    return (BareProjection if shape.shortcut == "bare_projection" else ZeroPad)(inputs, outputs, stride)


class Block(nn.Module):
    """A residual block and its step; `multistep` gives it a k, `project_history` a Q."""

    def __init__(
        self, shape: NetworkShape, inputs: int, width: int, stride: int, multistep: bool, project_history: bool
    ):
        super().__init__()
        self.pre = shape.activation == "pre"
        if shape.block == "basic":
            self.outputs = width
            convolutions = [conv(inputs, width, 3, stride), conv(width, width, 3)]
        else:
            self.outputs = BOTTLENECK_EXPANSION * width
            inner = shape.cardinality * width
            convolutions = [
                conv(inputs, inner, 1),
                conv(inner, inner, 3, stride, groups=shape.cardinality),
                conv(inner, self.outputs, 1),
            ]
        self.layers = len(convolutions)
        for number, convolution in enumerate(convolutions, start=1):
            channels = convolution.in_channels if self.pre else convolution.out_channels
            self.add_module(f"bn{number}", nn.BatchNorm2d(channels))
            self.add_module(f"conv{number}", convolution)
        changes_shape = inputs != self.outputs
        self.projection = shortcut_module(shape, inputs, self.outputs, stride) if changes_shape else None
        self.history_projection = Projection(inputs, self.outputs, stride, "pre") if project_history else None
        self.k = nn.Parameter(torch.zeros(1)) if multistep else None

    def f(self, u: Tensor) -> Tensor:
        for number in range(1, self.layers + 1):
            bn, convolution = getattr(self, f"bn{number}"), getattr(self, f"conv{number}")
            if self.pre:
                u = convolution(relu(bn(u)))
            else:
                u = bn(convolution(u))
                u = relu(u) if number < self.layers else u
        return u

    def forward(self, u: Tensor, history: Tensor | None) -> tuple[Tensor, Tensor]:
        """Takes u_n and u_{n-1}, gives u_{n+1} and the next block's history."""
        current = self.projection(u) if self.projection is not None else u
        if self.k is None:
            following = current + self.f(u)
        else:
            assert history is not None
            previous = self.history_projection(history) if self.history_projection is not None else history
            following = (1 - self.k) * current + self.k * previous + self.f(u)
        return (following if self.pre else relu(following)), current


class Stem(nn.Module):
    def __init__(self, shape: NetworkShape):
        super().__init__()
        self.large = shape.stem == "large"
        self.conv = conv(3, shape.stem_width, 7, 2) if self.large else conv(3, shape.stem_width, 3)
        self.bn = nn.BatchNorm2d(shape.stem_width) if self.large or shape.activation == "post" else None

    def forward(self, images: Tensor) -> Tensor:
        u = self.conv(images)
        u = u if self.bn is None else relu(self.bn(u))
        return max_pool2d(u, 3, 2, 1) if self.large else u


class Head(nn.Module):
    def __init__(self, shape: NetworkShape, channels: int):
        super().__init__()
        self.bn = nn.BatchNorm2d(channels) if shape.activation == "pre" else None
        self.linear = nn.Linear(channels, shape.classes)

    def forward(self, u: Tensor) -> Tensor:
        u = u if self.bn is None else relu(self.bn(u))
        return self.linear(u.mean(dim=(2, 3)))


class Network(nn.Module):
    def __init__(self, shape: NetworkShape):
        super().__init__()
        self.stem = Stem(shape)
        channels = shape.stem_width
        for stage, width in enumerate(shape.widths, start=1):
            blocks = nn.Module()
            for index in range(shape.blocks_per_stage):
                first_of_network = stage == 1 and index == 0
                transition = stage > 1 and index == 0
                multistep = shape.transition is not None and not first_of_network
                if transition and shape.transition == "plain":
                    multistep = False
                stride = 2 if transition else 1
                block = Block(shape, channels, width, stride, multistep, project_history=transition and multistep)
                blocks.add_module(f"block{index}", block)
                channels = block.outputs
            self.add_module(f"stage{stage}", blocks)
        self.head = Head(shape, channels)

    def forward(self, images: Tensor) -> Tensor:
        u, history = self.stem(images), None
        for stage in (self.stage1, self.stage2, self.stage3):
            for block in stage.children():
                u, history = block(u, history)
        return self.head(u)


def parameter_count(shape: NetworkShape) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in Network(shape).parameters())


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """The authors' initialisation of convolutions; the rest starts where a mistake shows.

    k spans more than the authors' -0.1 to 0, so that a wrong use of it changes the losses. BN starts away from scale 1,
    shift 0, mean 0 and variance 1; shifts of +-1 to 1.5 also leave few inputs of ReLUs near 0 (training.py says why
    that matters).
    """

    def uniform_(tensor: Tensor, low: float, high: float) -> Tensor:
        return tensor.uniform_(low, high, generator=generator)

    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                out, _, height, width = module.weight.shape
                module.weight.normal_(0, math.sqrt(2 / (height * width * out)), generator=generator)
            elif isinstance(module, nn.BatchNorm2d):
                uniform_(module.weight, 0.8, 1.2)
                signs = torch.randint(0, 2, module.bias.shape, generator=generator) * 2 - 1
                uniform_(module.bias, 1, 1.5).mul_(signs)
                uniform_(module.running_mean, -0.1, 0.1)
                uniform_(module.running_var, 0.5, 1.5)
            elif isinstance(module, nn.Linear):
                bound = 1 / math.sqrt(module.in_features)
                uniform_(module.weight, -bound, bound)
                uniform_(module.bias, -bound, bound)
            elif getattr(module, "k", None) is not None:
                uniform_(module.k, -0.5, 0.5)


def resnet(depth: int, transition: str | None) -> NetworkShape:
    return NetworkShape("basic", (depth - 2) // 6, 16, (16, 32, 64), transition=transition)


def bottleneck_resnet(depth: int, transition: str | None) -> NetworkShape:
    return NetworkShape("bottleneck", (depth - 2) // 9, 16, (16, 32, 64), transition=transition)


def resnext_29(cardinality: int, activation: str, transition: str | None) -> NetworkShape:
    return NetworkShape("bottleneck", 3, 64, (64, 128, 256), cardinality, activation, transition)


def assert_published_counts() -> None:
    """The counts that the paper and the published checkpoints of these networks have, for 10 classes."""
    for depth, plain, multistep in [
        (20, 272_378, 272_384),
        (32, 466_810, 466_822),
        (44, 661_242, 661_260),
        (56, 855_674, 855_698),
        (110, 1_730_618, 1_730_669),
    ]:
        assert parameter_count(resnet(depth, None)) == plain, depth
        assert parameter_count(resnet(depth, "plain")) == multistep, depth
    assert parameter_count(bottleneck_resnet(164, None)) == 1_703_674
    assert parameter_count(bottleneck_resnet(164, "plain")) == 1_703_725
    for cardinality, post, pre, multistep in [
        (8, 34_426_698, 34_424_778, 35_081_674),
        (16, 68_155_210, 68_153_290, 68_810_186),
    ]:
        scalars = 3 * 3 - 1
        assert parameter_count(resnext_29(cardinality, "post", None)) == post, cardinality
        assert parameter_count(resnext_29(cardinality, "pre", None)) == pre, cardinality
        assert parameter_count(resnext_29(cardinality, "pre", "project_both")) == multistep + scalars, cardinality
