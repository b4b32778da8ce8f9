/** GPU memory of a training run, told by its plans before anything is allocated. */
import type { Plan } from "../gpu/mod.ts";
import type { Planned, TrainingPlans } from "./fit.ts";
import type { TrainingMemory } from "./messages.ts";
import { stagingBytes } from "./runner.ts";

/** What a run with these plans holds at its peak: all of them at once, while it downloads a checkpoint. */
export function memoryOf({ full, tail, evaluation, imageBytes: images }: TrainingPlans): TrainingMemory {
  const others = tail ? [tail, evaluation] : [evaluation];
  const parameters = sum(Object.values(full.plan.variables).map(({ bytes }) => bytes));
  const activations = full.plan.workingBytes;
  const workspace = inputBytes(full.plan) + stagingOf(full) + checkpointBytes(full.plan) +
    sum(others.map((planned) => planned.plan.workingBytes + inputBytes(planned.plan) + stagingOf(planned)));
  return { parameters, activations, workspace, images, total: parameters + activations + workspace + images };
}

function stagingOf({ program, plan }: Planned): number {
  return stagingBytes(plan, program);
}

function inputBytes({ inputs }: Plan): number {
  return sum(inputs.map(({ bytes }) => bytes));
}

/** Parameters, momentum and statistics are read back one after another. */
function checkpointBytes({ parameterPacking, statePacking }: Plan): number {
  return Math.max(parameterPacking.bytes, statePacking.bytes);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
