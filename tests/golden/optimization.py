"""Learning rates, and updates of one parameter, by PyTorch's own optimiser, schedulers and averages; in double precision."""

import torch
from operations import Cases
from torch.optim import lr_scheduler as schedulers
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

BASE_RATE = 0.1
START_FACTOR = 0.125
DECAY = 0.75


def make_optimization() -> Cases:
    cases = Cases(seed=2018)
    add_updates(cases)
    add_schedules(cases)
    return cases


def add_updates(cases: Cases) -> None:
    """`gradients`, `parameters` and `averages` have a row a step; the latter two are those after the step.

    `norms` are those before clipping. The average starts from the initial parameter: it is updated once before the
    first step, when AveragedModel copies.
    """
    learning_rate, momentum, weight_decay = 0.125, 0.875, 0.0625
    # So that some norms are above the bound, and others below.
    sizes = torch.tensor([1, 0.125, 2, 0.25])[:, None, None]
    for case, nesterov, clip in [("nesterov", True, 0.0), ("clipped", False, 2.0), ("nesterov_clipped", True, 2.0)]:
        model = torch.nn.Linear(10, 1, bias=False).double()
        with torch.no_grad():
            model.weight.copy_(cases.normal(1, 10))
        start, gradients = model.weight.detach().clone(), cases.normal(4, 1, 10) * sizes
        optimiser = torch.optim.SGD(
            model.parameters(),
            lr=learning_rate,
            momentum=momentum,
            weight_decay=weight_decay,
            nesterov=nesterov,
        )
        averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(DECAY))
        averaged.update_parameters(model)
        norms, parameters, averages = [], [], []
        for gradient in gradients:
            model.weight.grad = gradient.clone()
            norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), clip or float("inf")))
            optimiser.step()
            averaged.update_parameters(model)
            parameters.append(model.weight.detach().clone().flatten())
            averages.append(averaged.module.weight.detach().clone().flatten())
        cases.add(
            f"update_{case}",
            {
                "parameter": start.flatten(),
                "gradients": gradients.flatten(1),
                "norms": torch.stack(norms),
                "parameters": torch.stack(parameters),
                "averages": torch.stack(averages),
            },
            learningRate=learning_rate,
            momentum=momentum,
            weightDecay=weight_decay,
            averageDecay=DECAY,
            nesterov=nesterov,
            clipGlobalNorm=clip,
        )


def add_schedules(cases: Cases) -> None:
    """`rates` has the learning rate of each step."""
    steps_per_epoch, epochs = 7, 6
    total = steps_per_epoch * epochs
    for case, warmup, final in [
        ("cosine", 0, 0.0),
        ("cosine_warmup", 10, 0.0625),
        ("linear_warmup", 10, 0.25),
        ("steps_warmup", 10, 0.0),
        ("constant_warmup", 10, 0.0),
    ]:
        optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE_RATE)
        scheduler = make_scheduler(optimiser, case.split("_")[0], warmup, total - warmup, final, steps_per_epoch)
        rates = []
        for _ in range(total):
            rates.append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            scheduler.step()
        cases.add(
            f"schedule_{case}",
            {"rates": torch.tensor(rates, dtype=torch.float64)},
            learningRate=BASE_RATE,
            stepsPerEpoch=steps_per_epoch,
            epochs=epochs,
            warmupSteps=warmup,
            warmupStartFactor=START_FACTOR,
            finalFactor=final,
        )


def make_scheduler(
    optimiser: torch.optim.Optimizer, kind: str, warmup: int, rest: int, final: float, steps_per_epoch: int
) -> schedulers.LRScheduler:
    """A warm-up in `warmup` steps, then `rest` steps of `kind`; of `steps`, milestones after one and three epochs."""
    # Each scheduler sets the rate when it is made: the warm-up comes first.
    rise = [schedulers.LinearLR(optimiser, start_factor=START_FACTOR, total_iters=warmup)] if warmup else []
    if kind == "cosine":
        fall = schedulers.CosineAnnealingLR(optimiser, T_max=rest, eta_min=final * BASE_RATE)
    elif kind == "linear":
        fall = schedulers.LinearLR(optimiser, start_factor=1, end_factor=final, total_iters=rest)
    else:
        milestones = [steps_per_epoch, 3 * steps_per_epoch] if kind == "steps" else []
        fall = schedulers.MultiStepLR(optimiser, milestones, gamma=0.5)
    if kind == "steps":
        return schedulers.ChainedScheduler([*rise, fall])
    return schedulers.SequentialLR(optimiser, [*rise, fall], milestones=[warmup]) if warmup else fall
