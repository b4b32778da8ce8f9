"""One case an operation: inputs that f32 can represent, results and gradients in double precision.

Tensors are named `<case>.<tensor>`; the gradient of the scalar <output, dOutput> with respect to x is `dX`.
Images are NCHW as PyTorch has them, but for `decode_images`, which has NHWC on both sides.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Arrays = dict[str, np.ndarray]
Options = dict[str, dict[str, object]]

BN_EPSILON = 1e-5
BN_MOMENTUM = 0.1


class Cases:
    """Collects the cases' tensors and their options."""

    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)
        self.arrays: Arrays = {}
        self.options: Options = {}

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator).double()

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return (torch.rand(shape, generator=self.generator) * (high - low) + low).double()

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high, shape, generator=self.generator)

    def add(self, case: str, tensors: dict[str, Tensor | np.ndarray], **options: object) -> None:
        for name, value in tensors.items():
            array = value.detach().numpy() if isinstance(value, Tensor) else value
            self.arrays[f"{case}.{name}"] = np.ascontiguousarray(array)
        self.options[case] = options

    def add_differentiated(
        self, case: str, inputs: dict[str, Tensor], function: Callable[..., Tensor], **options: object
    ) -> None:
        """Adds `inputs`, `output`, a random `dOutput` and the gradients of all inputs."""
        leaves = {name: value.clone().requires_grad_() for name, value in inputs.items()}
        output = function(*leaves.values())
        cotangent = self.normal(*output.shape)
        gradients = torch.autograd.grad(output, list(leaves.values()), cotangent)
        named = {f"d{name[0].upper()}{name[1:]}": gradient for name, gradient in zip(leaves, gradients, strict=True)}
        self.add(case, {**inputs, "output": output, "dOutput": cotangent, **named}, **options)


def add_conv2d(cases: Cases) -> None:
    for case, input_shape, weight_shape, stride, padding, groups in [
        ("3x3", (2, 8, 7, 6), (12, 8, 3, 3), 1, 1, 1),
        ("3x3_from_rgb", (2, 3, 8, 6), (8, 3, 3, 3), 1, 1, 1),
        ("3x3_stride2", (2, 8, 8, 8), (16, 8, 3, 3), 2, 1, 1),
        ("3x3_stride2_odd", (2, 4, 7, 5), (8, 4, 3, 3), 2, 1, 1),
        ("1x1", (2, 12, 5, 6), (8, 12, 1, 1), 1, 0, 1),
        ("1x1_stride2", (2, 8, 8, 6), (16, 8, 1, 1), 2, 0, 1),
        ("3x3_grouped", (2, 16, 6, 4), (16, 8, 3, 3), 1, 1, 2),
        ("3x3_grouped_stride2", (2, 16, 6, 6), (16, 4, 3, 3), 2, 1, 4),
        ("3x3_grouped_odd_channels", (2, 6, 5, 6), (10, 3, 3, 3), 1, 1, 2),
        ("3x3_depthwise", (2, 8, 6, 5), (8, 1, 3, 3), 1, 1, 8),
        ("5x5_padding2", (2, 4, 7, 8), (8, 4, 5, 5), 1, 2, 1),
        ("3x2_unpadded", (2, 5, 6, 7), (6, 5, 3, 2), 1, 0, 1),
    ]:
        options = {"stride": stride, "padding": padding, "groups": groups}
        cases.add_differentiated(
            f"conv2d_{case}",
            {"input": cases.normal(*input_shape), "weight": cases.normal(*weight_shape)},
            partial(functional.conv2d, **options),
            **options,
        )


def add_batch_norm(cases: Cases) -> None:
    channels = 6
    for case, with_relu in [("batch_norm", False), ("batch_norm_relu", True)]:
        for training in (True, False):
            inputs = {
                "input": cases.normal(4, channels, 5, 3) * 2 + cases.normal(1, channels, 1, 1),
                "gamma": cases.uniform(0.5, 1.5, channels),
                "beta": cases.normal(channels),
            }
            inputs = {name: value.float().double() for name, value in inputs.items()}
            before = {"runningMean": cases.normal(channels), "runningVariance": cases.uniform(0.5, 1.5, channels)}
            after = {f"{name}After": value.clone() for name, value in before.items()}

            def batch_norm(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
                running = (after["runningMeanAfter"], after["runningVarianceAfter"])
                y = functional.batch_norm(x, *running, gamma, beta, training, BN_MOMENTUM, BN_EPSILON)
                return functional.relu(y) if with_relu else y

            options = {"epsilon": BN_EPSILON, "relu": with_relu}
            if training:
                cases.add_differentiated(case, inputs, batch_norm, momentum=BN_MOMENTUM, **options)
                cases.add(case, {**before, **after}, **cases.options[case])
            else:
                cases.add(f"{case}_inference", {**inputs, **before, "output": batch_norm(*inputs.values())}, **options)


def add_elementwise(cases: Cases) -> None:
    cases.add_differentiated("relu", {"input": cases.normal(2, 5, 3, 4)}, functional.relu)
    # u_{n+1} = (1 - k) u_n + k u_{n-1} + f(u_n)
    shape = (2, 6, 4, 5)
    cases.add_differentiated(
        "linear_multistep",
        {
            "current": cases.normal(*shape),
            "previous": cases.normal(*shape),
            "increment": cases.normal(*shape),
            "k": cases.uniform(-0.5, -0.25, 1),
        },
        lambda current, previous, increment, k: (1 - k) * current + k * previous + increment,
    )
    cases.add_differentiated(
        "residual_add", {"current": cases.normal(*shape), "increment": cases.normal(*shape)}, torch.add
    )


def add_stem_conv2d(cases: Cases) -> None:
    """The first convolution of ImageNet's networks."""
    options = {"stride": 2, "padding": 3, "groups": 1}
    cases.add_differentiated(
        "conv2d_7x7_stride2",
        {"input": cases.normal(2, 3, 12, 11), "weight": cases.normal(8, 3, 7, 7)},
        partial(functional.conv2d, **options),
        **options,
    )


def add_max_pool2d(cases: Cases) -> None:
    """The last case has ties: the gradient goes to the first of a window."""
    for case, shape, kernel, stride, padding in [
        ("3x3_stride2", (2, 6, 8, 7), 3, 2, 1),
        ("2x2_stride2", (2, 4, 5, 6), 2, 2, 0),
        ("3x3_stride1", (2, 5, 4, 5), 3, 1, 1),
        ("ties", (2, 4, 7, 6), 3, 2, 1),
    ]:
        image = cases.integers(0, 2, *shape).double() if case == "ties" else cases.normal(*shape)
        options = {"stride": stride, "padding": padding}
        cases.add_differentiated(
            f"max_pool2d_{case}",
            {"input": image},
            partial(functional.max_pool2d, kernel_size=kernel, **options),
            kernel=kernel,
            **options,
        )


def add_place_channels(cases: Cases) -> None:
    """Channels of `input` put at `offset` among `channels`, of every stride-th pixel."""
    for case, shape, channels, offset, stride in [
        ("shortcut", (2, 6, 7, 6), 12, 0, 2),
        ("widen", (2, 4, 3, 4), 12, 4, 1),
        ("take", (2, 16, 4, 3), 6, -4, 1),
    ]:

        def place(image: Tensor) -> Tensor:
            image = image[:, max(-offset, 0) :, ::stride, ::stride][:, : channels - max(offset, 0)]
            before = max(offset, 0)
            return functional.pad(image, (0, 0, 0, 0, before, channels - before - image.shape[1]))

        options = {"channels": channels, "offset": offset, "stride": stride}
        cases.add_differentiated(f"place_channels_{case}", {"input": cases.normal(*shape)}, place, **options)


def add_channel_multistep(cases: Cases) -> None:
    """The linear multi-step step with one k a channel, of 6 and of 8 channels."""
    for case, shape in [("", (2, 6, 4, 5)), ("_quads", (2, 8, 4, 4))]:
        cases.add_differentiated(
            f"channel_multistep{case}",
            {
                "current": cases.normal(*shape),
                "previous": cases.normal(*shape),
                "increment": cases.normal(*shape),
                "k": cases.uniform(-0.5, 0.5, shape[1]),
            },
            lambda current, previous, increment, k: (
                (1 - k[:, None, None]) * current + k[:, None, None] * previous + increment
            ),
        )


def add_head(cases: Cases) -> None:
    cases.add_differentiated("global_average_pool", {"input": cases.normal(3, 6, 4, 5)}, lambda x: x.mean(dim=(2, 3)))
    cases.add_differentiated(
        "linear",
        {"input": cases.normal(4, 12), "weight": cases.normal(10, 12), "bias": cases.normal(10)},
        functional.linear,
    )


def add_softmax_cross_entropy(cases: Cases) -> None:
    """The mean over the examples whose label is not -1."""
    for case, smoothing, ignored in [("", 0.0, 0), ("_smoothing", 0.1, 0), ("_ignored", 0.1, 3)]:
        logits = (cases.normal(8, 10) * 3).requires_grad_()
        labels = cases.integers(0, 10, 8)
        labels[5 : 5 + ignored] = -1
        loss = functional.cross_entropy(logits, labels, ignore_index=-1, label_smoothing=smoothing)
        (gradient,) = torch.autograd.grad(loss, logits)
        cases.add(
            f"softmax_cross_entropy{case}",
            {"logits": logits, "labels": labels.int(), "loss": loss.reshape(1), "dLogits": gradient},
            labelSmoothing=smoothing,
        )


def add_sgd(cases: Cases) -> None:
    """`gradients`, `parameters` and `velocities` have a row a step; the latter two are those after the step."""
    learning_rate, momentum, weight_decay = 0.125, 0.875, 0.0625
    parameter = torch.nn.Parameter(cases.normal(10))
    start, gradients = parameter.detach().clone(), cases.normal(3, 10)
    optimiser = torch.optim.SGD([parameter], lr=learning_rate, momentum=momentum, weight_decay=weight_decay)
    parameters, velocities = [], []
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimiser.step()
        parameters.append(parameter.detach().clone())
        velocities.append(optimiser.state[parameter]["momentum_buffer"].clone())
    cases.add(
        "sgd",
        {
            "parameter": start,
            "gradients": gradients,
            "parameters": torch.stack(parameters),
            "velocities": torch.stack(velocities),
        },
        learningRate=learning_rate,
        momentum=momentum,
        weightDecay=weight_decay,
    )


def pcg4d(x: int, y: int, z: int, w: int) -> tuple[int, int, int, int]:
    """Jarzynski & Olano 2020, "Hash Functions for GPU Rendering", in exact integers modulo 2^32."""
    mask = 0xFFFFFFFF
    x, y, z, w = ((value * 1664525 + 1013904223) & mask for value in (x, y, z, w))

    def mix(x: int, y: int, z: int, w: int) -> tuple[int, int, int, int]:
        x = (x + y * w) & mask
        y = (y + z * x) & mask
        z = (z + x * y) & mask
        w = (w + y * z) & mask
        return x, y, z, w

    x, y, z, w = mix(x, y, z, w)
    return mix(*(value ^ (value >> 16) for value in (x, y, z, w)))


def add_random(cases: Cases) -> None:
    keys = [(0, 0, 0, 0), (1, 2, 3, 4), (0xFFFFFFFF,) * 4, (0x80000000, 0, 0x7FFFFFFF, 1)]
    keys += [tuple(row) for row in cases.integers(0, 2**32, 12, 4).tolist()]
    cases.add(
        "pcg4d",
        {"keys": np.array(keys, np.uint32), "values": np.array([pcg4d(*key) for key in keys], np.uint32)},
    )


def add_decode_images(cases: Cases) -> None:
    """(pixel / 255 - mean) / std; padding is pixels of 0, before normalisation; crop, then flip."""
    for case, channels, padding, may_flip in [
        ("decode_images", 3, 0, False),
        ("decode_images_augmented", 3, 2, True),
        ("decode_images_crop_only", 1, 4, False),
    ]:
        count, height, width = 12, 6, 5
        pixels = cases.integers(0, 256, count, height, width, channels).to(torch.uint8)
        examples = cases.integers(0, 60_000, count)
        mean, deviation = cases.uniform(0.3, 0.6, channels), cases.uniform(0.2, 0.3, channels)
        seed, epoch, purpose = 20171027, 3, 1
        images = []
        for image, example in zip(pixels.double(), examples.tolist(), strict=True):
            random_y, random_x, random_flip, _ = pcg4d(seed, epoch, example, purpose)
            dy, dx = random_y % (2 * padding + 1), random_x % (2 * padding + 1)
            padded = functional.pad(image, (0, 0, padding, padding, padding, padding))
            crop = padded[dy : dy + height, dx : dx + width]
            images.append(crop.flip(1) if may_flip and random_flip & 1 else crop)
        output = (torch.stack(images) / 255 - mean) / deviation
        cases.add(
            case,
            {
                "pixels": pixels,
                "examples": examples.numpy().astype(np.uint32),
                "mean": mean,
                "standardDeviation": deviation,
                "output": output,
            },
            seed=seed,
            epoch=epoch,
            purpose=purpose,
            cropPadding=padding,
            horizontalFlip=may_flip,
        )


def make_operations() -> Cases:
    cases = Cases(seed=1)
    for add in (
        add_conv2d,
        add_batch_norm,
        add_elementwise,
        add_head,
        add_softmax_cross_entropy,
        add_sgd,
        add_random,
        add_decode_images,
        add_max_pool2d,
        add_place_channels,
        add_channel_multistep,
        add_stem_conv2d,
    ):
        add(cases)
    return cases
