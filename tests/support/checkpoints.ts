/** A checkpoint of a network with one parameter. */
import type { Checkpoint } from "../../src/models/mod.ts";

export function checkpointAt(step: number, best?: Checkpoint["best"]): Checkpoint {
  const tensor = (value: number) => ({ shape: [2], data: new Float32Array([value, -value]) });
  return {
    model: { name: "lm-resnet-8" },
    dataset: {
      name: "digits",
      height: 4,
      width: 4,
      channels: 1,
      mean: [0.1],
      standardDeviation: [0.3],
      classNames: ["a", "b"],
    },
    position: { seed: 1, epoch: 0, stepInEpoch: step, step },
    best,
    configuration: { batchSize: 8 },
    parameters: new Map([["w", tensor(step)]]),
    states: new Map([["mean", tensor(2)]]),
    velocities: new Map([["w", tensor(3)]]),
  };
}
