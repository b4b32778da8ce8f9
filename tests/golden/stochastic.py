"""Makes stochastic.safetensors: `python tests/golden/stochastic.py`, after make.py, whose networks it goes on from.

A case is a network of another fixture, with its initial values and its first batch, in one training step that chance has
a part in; all in double precision. `about.cases` has what each case is; tensors are named `<case>.<tensor>`:

    logits, loss          of the step
    gradient.<name>       of that loss with respect to every parameter, zeros where PyTorch leaves none
    state.<name>          BN statistics after the step's forward pass
    inference_logits      of the first batch, by the initial statistics, as the case scales evaluation

Draws follow from seed and step, as in src/models/stochastic/; uniforms are pcg4d(seed, step, place, purpose) / 2^32:

- depth         block l survives if its first uniform (purpose 16, place l) is below p_l
- drop_path     the first two uniforms at place 2^32 - 1 (purpose 17) say whether one column is left, and which. Join j of
                block l, counted as fractal() comes by them, has place 64 l + j: its inputs stay if the first, the second
                uniform is at least the rate; if none does, the short one if the third is below 1/2, else the long one
- shake_shake   eta of block l is the first uniform (purpose 18, place l)

Parameters of what is left out get no gradient, and BN statistics no update.
"""

import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True

import numpy as np
import torch
from make import write
from safetensors.numpy import load_file
from schemes import FractalBlock, SchemeBlock
from torch import Tensor, nn
from torch.nn import functional
from training import CASES, SCHEME_CASES

FOLDER = Path(__file__).parent
SEED = 7
STOCHASTIC_DEPTH, DROP_PATH, SHAKE_SHAKE = 16, 17, 18
COLUMNS = 3

LM = {"rule": "zero_based", "scaling": "training"}
EULER = {"rule": "one_based", "scaling": "test"}
TRAINING = {"rule": "one_based", "scaling": "training"}
CHANCES = {
    "lm": ("lm_resnet", {"depth": {"survival": 0.4, **LM}}),
    "lm_channels": ("scheme_linear_multistep", {"depth": {"survival": 0.3, **TRAINING}}),
    "euler": ("option_a", {"depth": {"survival": 0.4, **EULER}}),
    "midpoint": ("scheme_midpoint", {"depth": {"survival": 0.3, **LM}}),
    "leapfrog": ("scheme_leapfrog", {"depth": {"survival": 0.3, **TRAINING}}),
    "momentum": ("scheme_momentum", {"depth": {"survival": 0.3, **TRAINING}}),
    "rk4": ("scheme_rk4", {"depth": {"survival": 0.3, **TRAINING}}),
    "poly_2": ("scheme_poly_2", {"depth": {"survival": 0.3, **TRAINING}}),
    "local_paths": ("scheme_fractal", {"dropPath": {"rate": 0.4, "globalShare": 0}}),
    "column": ("scheme_fractal", {"dropPath": {"rate": 0.15, "globalShare": 1}}),
    "shake_shake": ("scheme_two_way", {"shakeShake": True}),
}


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


def uniforms(step: int, place: int, purpose: int) -> list[float]:
    return [draw / 2**32 for draw in pcg4d(SEED, step, place, purpose)]


def survival_probabilities(rule: str, survival: float, blocks: int) -> list[float]:
    if rule == "zero_based":
        return [1 - index / (blocks - 1) * (1 - survival) for index in range(blocks)]
    return [1 - (index + 1) / blocks * (1 - survival) for index in range(blocks)]


def survivors(probabilities: list[float], step: int) -> list[bool]:
    return [uniforms(step, index, STOCHASTIC_DEPTH)[0] < p for index, p in enumerate(probabilities)]


def is_telling(probabilities: list[float], changing: list[int], step: int) -> bool:
    """Whether it drops two neighbours, a change of shape and half of the blocks or so, and not the last one."""
    alive = survivors(probabilities, step)
    neighbours = any(not a and not b for a, b in zip(alive, alive[1:]))
    changes = any(not alive[index] for index in changing)
    return neighbours and changes and alive[-1] and 0.4 * len(alive) <= sum(alive) <= 0.7 * len(alive)


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


def drop_blocks(network: nn.Module, training: bool, survival: float, rule: str, scaling: str) -> int:
    blocks = blocks_of(network)
    probabilities = survival_probabilities(rule, survival, len(blocks))
    changing = [i for i, block in enumerate(blocks) if type(block).__name__ == "EulerBlock"
                or getattr(block, "projection", None) is not None]
    step = next(step for step in range(10_000) if is_telling(probabilities, changing, step))
    for block, lives, probability in zip(blocks, survivors(probabilities, step), probabilities):
        if training:
            scale(block, (1 / probability if scaling == "training" else 1) if lives else 0)
        elif scaling == "test":
            scale(block, probability)
    return step


def drop_paths(network: nn.Module, training: bool, rate: float, globalShare: float) -> int:
    """In a step that computes some of each block, and whose column, where one is left, is neither end."""
    step = 19 if globalShare == 0 else next(s for s in range(100) if uniforms(s, 2**32 - 1, DROP_PATH)[1] // (1 / 3) == 1)
    kind, chosen, *_ = uniforms(step, 2**32 - 1, DROP_PATH)

    def path_weights(place: int, column: int) -> tuple[float, float]:
        if kind < globalShare:
            return (1, 0) if column == 1 + int(chosen * COLUMNS) else (0, 1)
        short, long, rescued, _ = uniforms(step, place, DROP_PATH)
        if short >= rate and long >= rate:
            return 0.5, 0.5
        if short < rate and long < rate:
            return (1, 0) if rescued < 0.5 else (0, 1)
        return (1, 0) if short >= rate else (0, 1)

    def forward(block: FractalBlock, index: int, u: Tensor) -> Tensor:
        used, joins = [0] * (COLUMNS + 1), 0

        def term(u: Tensor | None, column: int) -> Tensor | None:
            place = used[column]
            used[column] += 1
            return None if u is None else getattr(getattr(block, f"column{column}"), f"term{place}").f(u)

        def fractal(u: Tensor | None, column: int) -> Tensor | None:
            nonlocal joins
            if column == 1:
                return term(u, column)
            place = 64 * index + joins
            joins += 1
            short_weight, long_weight = path_weights(place, column)
            # What is left out is walked through all the same: it counts.
            short = term(u if short_weight > 0 else None, column)
            long = fractal(fractal(u if long_weight > 0 else None, column - 1), column - 1)
            if u is None:
                return None
            return (0 if short is None else short_weight * short) + (0 if long is None else long_weight * long)

        return fractal(u, COLUMNS)

    if training:
        for index, block in enumerate(blocks_of(network)):
            block.forward = lambda u, block=block, index=index: forward(block, index, u)
    return step


def mix_branches(network: nn.Module, training: bool) -> int:
    step = 3
    for index, block in enumerate(blocks_of(network)):
        if not isinstance(block, SchemeBlock):
            continue
        eta = uniforms(step, index, SHAKE_SHAKE)[0] if training else 0.5
        block.step = lambda u, h, block=block, eta=eta: u + eta * block.f(u) + (1 - eta) * block.g.f(u)
    return step


def apply(network: nn.Module, chance: dict, training: bool) -> int:
    """Rebuilds the steps as chance has them; gives the step whose draws they are."""
    if "depth" in chance:
        return drop_blocks(network, training, **chance["depth"])
    if "dropPath" in chance:
        return drop_paths(network, training, **chance["dropPath"])
    return mix_branches(network, training)


def build(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    """A network with its fixture's initial values, and its first batch."""
    tensors = load_file(FOLDER / f"{name}.safetensors")
    network = (CASES | SCHEME_CASES)[name].build()
    prefix = "initial."
    initial = {key.removeprefix(prefix): torch.from_numpy(value) for key, value in tensors.items()
               if key.startswith(prefix)}
    missing, unexpected = network.load_state_dict(initial, strict=False)
    assert not unexpected and all(key.endswith("num_batches_tracked") for key in missing)
    images, labels = tensors["images"][0], tensors["labels"][0]
    return network.double(), torch.from_numpy(images).double(), torch.from_numpy(labels).long()


def step_of(name: str, chance: dict) -> tuple[dict[str, Tensor], int]:
    network, images, labels = build(name)
    apply(network, chance, training=False)
    with torch.no_grad():
        inference = network.eval()(images)

    network, images, labels = build(name)
    step = apply(network, chance, training=True)
    logits = network.train()(images)
    loss = functional.cross_entropy(logits, labels)
    loss.backward()
    tensors = {"inference_logits": inference, "logits": logits.detach(), "loss": loss.detach().reshape(1)}
    for key, parameter in network.named_parameters():
        tensors[f"gradient.{key}"] = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
    for key, buffer in network.named_buffers():
        if not key.endswith("num_batches_tracked"):
            tensors[f"state.{key}"] = buffer
    return tensors, step


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    arrays: dict[str, np.ndarray] = {}
    about: dict[str, object] = {}
    for name, (network, chance) in CHANCES.items():
        tensors, step = step_of(network, chance)
        arrays |= {f"{name}.{key}": np.ascontiguousarray(value.float().numpy()) for key, value in tensors.items()}
        about[name] = {"network": network, "chance": chance, "seed": SEED, "step": step}
    write("stochastic", arrays, {"cases": about})
    for name, case in about.items():
        left_out = [key for key, array in arrays.items() if key.startswith(f"{name}.gradient.") and not array.any()]
        print(json.dumps({"case": name, **case, "gradients left out": len(left_out)}))


if __name__ == "__main__":
    main()
