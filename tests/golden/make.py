"""Makes the fixtures of this folder: `python tests/golden/make.py`, with torch, numpy and safetensors installed.

Everything is seeded and runs on one thread of the CPU, so that the same versions give the same bytes. Each file's
metadata has one entry, `about`: JSON with the versions and what the tensors do not say.

- operations.safetensors   one case an operation, in double precision (operations.py says how tensors are named)
- optimization.safetensors updates of one parameter and learning rates of schedules (optimization.py)
- resnet, lm_resnet, resnext, lm_resnext, large_lm_resnet, option_a .safetensors   small networks (networks.py has their exact layouts, which are
                           those of the full-size ones, and asserts the full-size parameter counts):
    images, labels         [batches, 8, 3, height, width] and [batches, 8]; one batch where nothing trains, else four
    initial.<name>         parameters and BN statistics that everything starts from
    inference_logits       of the first batch, by the initial statistics; computed in double precision
    logits, loss           of the first batch in training mode; computed in double precision
    gradient.<name>        of that loss with respect to every parameter; computed in double precision
    losses                 (lm_ networks) 20 steps of SGD in f32, training-mode BN, batches 0, 1, 2, 3, 0, ...; the loss
                           before each step. Weight decay applies to everything, k included
    final.<name>           (lm_ networks) after those steps, in f32: everything of one dimension, that is k, biases, BN
                           parameters and BN statistics
- scheme_*.safetensors     a network of each further scheme (schemes.py has their layouts), the same tensors
- blocks.safetensors      one step of every scheme over every kind of block (blocks.py says how a case is stored)
- stochastic.safetensors   steps of these networks that chance has a part in; stochastic.py makes it, after this script
- state_dict*.safetensors  what users of PyTorch save, and the logits of it (state_dicts.py)
- python.safetensors       a file that Python's safetensors wrote, with every dtype that we read
"""

import json
import sys
from pathlib import Path

# Before the modules of this folder are imported, so that it stays clean.
sys.dont_write_bytecode = True

import numpy as np
import safetensors
import torch
from blocks import make_blocks
from networks import assert_published_counts
from operations import make_operations
from optimization import make_optimization
from safetensors.numpy import save_file
from state_dicts import MEAN, STD, make_state_dicts
from training import CASES, SCHEME_CASES, network_fixture

FOLDER = Path(__file__).parent
MAX_TOTAL_BYTES = 3_500_000


def write(name: str, arrays: dict[str, np.ndarray], about: dict[str, object]) -> None:
    versions = {"torch": torch.__version__, "numpy": np.__version__, "safetensors": safetensors.__version__}
    text = json.dumps({"versions": versions, **about}, ensure_ascii=False)
    path = FOLDER / f"{name}.safetensors"
    # One entry alone: Python writes several in an order that changes from run to run.
    save_file(arrays, path, {"about": text})
    path.chmod(0o644)


def write_python_file() -> None:
    write(
        "python",
        {
            "f64": np.array([[1.5, -2.25], [1e300, 0]], np.float64),
            "f32": np.array([0.5, -1, 3e38], np.float32),
            "f16": np.array([1, -2], np.float16),
            "i64": np.array([-(2**62), 2**53 + 1], np.int64),
            "i32": np.array([-(2**31), 7], np.int32),
            "u32": np.array([2**32 - 1], np.uint32),
            "u8": np.array([[0, 127, 255]], np.uint8),
            "scalar": np.array(42, np.float32),
            "empty": np.zeros((0, 3), np.float32),
            'ключ "k"': np.array([9], np.uint8),
        },
        {"note": "größer"},
    )


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    assert_published_counts()
    cases = make_operations()
    write("operations", cases.arrays, {"options": cases.options})
    cases = make_optimization()
    write("optimization", cases.arrays, {"options": cases.options})
    for name, case in (CASES | SCHEME_CASES).items():
        write(name, *network_fixture(case))
    write("blocks", *make_blocks())
    write("state_dicts", make_state_dicts(), {"mean": MEAN, "standardDeviation": STD})
    write_python_file()
    total = sum(path.stat().st_size for path in FOLDER.glob("*.safetensors"))
    assert total < MAX_TOTAL_BYTES, total
    print(f"{total:,} bytes")


if __name__ == "__main__":
    main()
