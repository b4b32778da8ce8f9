/** An engine that counts what it does. */
import type { Engine, TrainingEvent } from "../../engine/mod.ts";
import type { Metrics } from "./metrics.ts";

/** @returns the engine itself, but for the calls that are counted */
export function meteredEngine(engine: Engine, metrics: Metrics): Engine {
  const counted: Pick<Engine, "train" | "infer"> = {
    train: (job, signal) => countSteps(engine.train(job, signal), metrics),
    async infer(job, signal) {
      const began = performance.now();
      const result = await engine.infer(job, signal);
      metrics.inferred(job.images, (performance.now() - began) / 1000);
      return result;
    },
  };
  return new Proxy(engine, {
    get(target, name) {
      if (name === "train" || name === "infer") return counted[name];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

async function* countSteps(events: AsyncIterable<TrainingEvent>, metrics: Metrics): AsyncGenerator<TrainingEvent> {
  // A resumed job begins where it was; its first event tells.
  let last: number | undefined;
  try {
    for await (const event of events) {
      metrics.trained(event, event.step - (last ?? (event.kind === "progress" ? event.step - 1 : event.step)));
      last = event.step;
      yield event;
    }
  } finally {
    metrics.trainingEnded();
  }
}
