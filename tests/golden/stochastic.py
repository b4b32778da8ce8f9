"""Makes stochastic.safetensors: `python tests/golden/stochastic.py`, after make.py, whose networks it goes on from.

A case is a network of another fixture, with its initial values and its first batch, in one training step in which some
blocks are dropped; all in double precision. `about.cases` has what each case is; tensors are named `<case>.<tensor>`:

    logits, loss          of the step
    gradient.<name>       of that loss with respect to every parameter, zeros where PyTorch leaves none
    state.<name>          BN statistics after the step's forward pass
    inference_logits      of the first batch, by the initial statistics, as the case scales evaluation

Which blocks survive follows from seed and step as in src/models/stochastic/: survives(l) = pcg4d(seed, step, l, 16)[0] /
2^32 < p_l. Parameters of dropped blocks get no gradient, and BN statistics of theirs no update.
"""

import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True

import numpy as np
import torch
from make import write
from safetensors.numpy import load_file
from torch import Tensor, nn
from torch.nn import functional
from training import CASES, SCHEME_CASES

FOLDER = Path(__file__).parent
STOCHASTIC_DEPTH = 16

# Steps in which blocks with and without a change of shape are dropped, neighbours among them, and others are not.
DEPTH_CASES = {
    "lm": {"network": "lm_resnet", "survival": 0.4, "rule": "zero_based", "scaling": "training"},
    "lm_channels": {
        "network": "scheme_linear_multistep",
        "survival": 0.3,
        "rule": "one_based",
        "scaling": "training",
    },
    "euler": {"network": "option_a", "survival": 0.4, "rule": "one_based", "scaling": "test"},
    "midpoint": {"network": "scheme_midpoint", "survival": 0.3, "rule": "zero_based", "scaling": "training"},
    "leapfrog": {"network": "scheme_leapfrog", "survival": 0.3, "rule": "one_based", "scaling": "training"},
    "momentum": {"network": "scheme_momentum", "survival": 0.3, "rule": "one_based", "scaling": "training"},
    "rk4": {"network": "scheme_rk4", "survival": 0.3, "rule": "one_based", "scaling": "training"},
    "poly_2": {"network": "scheme_poly_2", "survival": 0.3, "rule": "one_based", "scaling": "training"},
}
SEED = 7


def pcg4d(*key: int) -> list[int]:
    """Jarzynski and Olano, "Hash Functions for GPU Rendering", JCGT 9(3), 2020."""
    mask = 0xFFFFFFFF
    v = [(value * 1664525 + 1013904223) & mask for value in key]

    def mix() -> None:
        v[0] = (v[0] + v[1] * v[3]) & mask
        v[1] = (v[1] + v[2] * v[0]) & mask
        v[2] = (v[2] + v[0] * v[1]) & mask
        v[3] = (v[3] + v[1] * v[2]) & mask

    mix()
    v = [value ^ (value >> 16) for value in v]
    mix()
    return v


def survival_probabilities(rule: str, survival: float, blocks: int) -> list[float]:
    if rule == "zero_based":
        return [1 - index / (blocks - 1) * (1 - survival) for index in range(blocks)]
    return [1 - (index + 1) / blocks * (1 - survival) for index in range(blocks)]


def survivors(probabilities: list[float], step: int) -> list[bool]:
    return [
        pcg4d(SEED, step, index, STOCHASTIC_DEPTH)[0] / 2**32 < probability
        for index, probability in enumerate(probabilities)
    ]


def telling_step(probabilities: list[float], changing: list[int]) -> int:
    """The first step that drops two neighbours, a change of shape and half of the blocks or so, and not the last one."""
    step = 0
    while True:
        alive = survivors(probabilities, step)
        neighbours = any(not a and not b for a, b in zip(alive, alive[1:]))
        changes = any(not alive[index] for index in changing)
        if neighbours and changes and alive[-1] and 0.4 * len(alive) <= sum(alive) <= 0.7 * len(alive):
            return step
        step += 1


def blocks_of(network: nn.Module) -> list[nn.Module]:
    stages = [child for name, child in network.named_children() if name.startswith("stage")]
    return [block for stage in stages for block in stage.children()]


def scale(block: nn.Module, factor: float) -> None:
    """Multiplies what a step adds besides its linear terms; computes nothing of it where the factor is 0."""
    if getattr(block, "scheme", None) in ("rk4", "poly_2"):
        step = block.step
        block.step = lambda u, h: u + factor * (step(u, h) - u) if factor > 0 else u
    else:
        f = block.f
        block.f = lambda u: factor * f(u) if factor > 0 else 0


def build(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    """A network with its fixture's initial values, and its first batch."""
    tensors = load_file(FOLDER / f"{name}.safetensors")
    network = (CASES | SCHEME_CASES)[name].build()
    initial = {key.removeprefix("initial."): torch.from_numpy(value) for key, value in tensors.items()
               if key.startswith("initial.")}
    missing, unexpected = network.load_state_dict(initial, strict=False)
    assert not unexpected and all(key.endswith("num_batches_tracked") for key in missing)
    images, labels = tensors["images"][0], tensors["labels"][0]
    return network.double(), torch.from_numpy(images).double(), torch.from_numpy(labels).long()


def depth_case(network: str, survival: float, rule: str, scaling: str) -> tuple[dict[str, Tensor], int]:
    model, images, labels = build(network)
    blocks = blocks_of(model)
    probabilities = survival_probabilities(rule, survival, len(blocks))
    changing = [i for i, block in enumerate(blocks) if getattr(block, "projection", None) is not None]
    step = telling_step(probabilities, changing)
    alive = survivors(probabilities, step)
    if scaling == "test":
        for block, probability in zip(blocks, probabilities):
            scale(block, probability)
    with torch.no_grad():
        inference = model.eval()(images)

    model, images, labels = build(network)
    for block, lives, probability in zip(blocks_of(model), alive, probabilities):
        scale(block, (1 / probability if scaling == "training" else 1) if lives else 0)
    logits = model.train()(images)
    loss = functional.cross_entropy(logits, labels)
    loss.backward()
    tensors = {"inference_logits": inference, "logits": logits.detach(), "loss": loss.detach().reshape(1)}
    for name, parameter in model.named_parameters():
        tensors[f"gradient.{name}"] = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
    for name, buffer in model.named_buffers():
        if not name.endswith("num_batches_tracked"):
            tensors[f"state.{name}"] = buffer
    return tensors, step


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    arrays: dict[str, np.ndarray] = {}
    about: dict[str, object] = {}
    for name, case in DEPTH_CASES.items():
        tensors, step = depth_case(**case)
        arrays |= {f"{name}.{key}": np.ascontiguousarray(value.float().numpy()) for key, value in tensors.items()}
        about[name] = {**case, "seed": SEED, "step": step}
    write("stochastic", arrays, {"cases": about})
    print(json.dumps(about, indent=2))


if __name__ == "__main__":
    main()
