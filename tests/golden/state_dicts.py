"""State dicts as users of PyTorch save them: networks written by hand, in the layout and with the names of torchvision.

- state_dict_lm_resnet_20.safetensors   LM-ResNet-20 for CIFAR-10, saved in half precision, to be small
- state_dict_resnet.safetensors         a narrow ResNet of bottlenecks with ImageNet's stem, saved as bfloat16
- state_dicts.safetensors               for each of them `<name>.images`, NCHW as bytes, and `<name>.logits`, computed in
                                        double precision by the rounded weights from (bytes / 255 - MEAN) / STD

`python state_dicts.py NAME FILE` loads a file strictly into a network of that name and prints its logits of these
images as JSON: how a test sees that PyTorch loads what Multistep exports.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import relu

FOLDER = Path(__file__).parent
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.247, 0.2435, 0.2616)
IMAGES = 2


class LMBlock(nn.Module):
    """u_{n+1} = (1 - k) u_n + k u_{n-1} + f(u_n), f of two pre-activation 3x3 convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int, has_history: bool):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.downsample = None
        if inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), conv)
        self.k = nn.Parameter(torch.empty(1).uniform_(-0.1, 0)) if has_history else None

    def forward(self, u: Tensor, previous: Tensor | None) -> tuple[Tensor, Tensor]:
        f = self.conv2(relu(self.bn2(self.conv1(relu(self.bn1(u))))))
        if self.downsample is not None:
            u = self.downsample(u)
        if self.k is None:
            return u + f, u
        return (1 - self.k) * u + self.k * previous + f, u


class LMResNet(nn.Module):
    def __init__(self, depth: int = 20, classes: int = 10):
        super().__init__()
        count = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.layer1 = self.layer(16, 16, count, stride=1)
        self.layer2 = self.layer(16, 32, count, stride=2)
        self.layer3 = self.layer(32, 64, count, stride=2)
        self.bn = nn.BatchNorm2d(64)
        self.fc = nn.Linear(64, classes)

    def layer(self, inputs: int, outputs: int, count: int, stride: int) -> nn.ModuleList:
        blocks = [LMBlock(inputs, outputs, stride, has_history=False)]
        blocks += [LMBlock(outputs, outputs, 1, has_history=True) for _ in range(count - 1)]
        return nn.ModuleList(blocks)

    def forward(self, images: Tensor) -> Tensor:
        u, previous = self.conv1(images), None
        for block in (*self.layer1, *self.layer2, *self.layer3):
            u, previous = block(u, previous)
        return self.fc(relu(self.bn(u)).mean(dim=(2, 3)))


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, inner: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, 4 * inner, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * inner)
        self.downsample = None
        if stride > 1 or inputs != 4 * inner:
            conv = nn.Conv2d(inputs, 4 * inner, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(4 * inner))

    def forward(self, u: Tensor) -> Tensor:
        f = relu(self.bn2(self.conv2(relu(self.bn1(self.conv1(u))))))
        f = self.bn3(self.conv3(f))
        return relu(f + (u if self.downsample is None else self.downsample(u)))


class ResNet(nn.Module):
    """As torchvision's resnet50, but for its sizes: two stages of blocks of 4 and 8 inner channels."""

    def __init__(self, classes: int = 6):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = nn.Sequential(Bottleneck(8, 4, 1), Bottleneck(16, 4, 1))
        self.layer2 = nn.Sequential(Bottleneck(16, 8, 2), Bottleneck(32, 8, 1))
        self.fc = nn.Linear(32, classes)

    def forward(self, images: Tensor) -> Tensor:
        u = self.maxpool(relu(self.bn1(self.conv1(images))))
        return self.fc(self.layer2(self.layer1(u)).mean(dim=(2, 3)))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], torch.dtype]] = {
    "lm_resnet_20": (LMResNet, torch.float16),
    "resnet": (ResNet, torch.bfloat16),
}


def trained(build: Callable[[], nn.Module], dtype: torch.dtype) -> nn.Module:
    """A network that has seen some batches, so that its statistics are its own, with weights that `dtype` has."""
    torch.manual_seed(5)
    network = build()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    labels = torch.arange(8) % 4
    for _ in range(3):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(torch.randn(8, 3, 32, 32)), labels).backward()
        optimiser.step()
    return network.to(dtype).eval()


def logits_of(network: nn.Module, images: Tensor) -> Tensor:
    mean, std = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (MEAN, STD))
    with torch.no_grad():
        return network.double().eval()((images.double() / 255 - mean) / std)


def make_state_dicts() -> dict[str, object]:
    """Writes the files of the state dicts; returns the tensors of the third."""
    arrays = {}
    for name, (build, dtype) in NETWORKS.items():
        network = trained(build, dtype)
        path = FOLDER / f"state_dict_{name}.safetensors"
        save_file(network.state_dict(), path)
        path.chmod(0o644)
        images = torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8)
        arrays[f"{name}.images"] = images.numpy()
        arrays[f"{name}.logits"] = logits_of(network, images).float().numpy()
    return arrays


def main(name: str, file: str) -> None:
    network = NETWORKS[name][0]()
    network.load_state_dict(load_file(file), strict=True)
    images = load_file(FOLDER / "state_dicts.safetensors")[f"{name}.images"]
    print(json.dumps(logits_of(network, images).tolist()))


if __name__ == "__main__":
    main(*sys.argv[1:])
