/** An engine that counts what it does. */
import type { Engine, TrainingConfig, TrainingEvent } from "../../engine/mod.ts";
import type { Catalog } from "../catalog.ts";
import type { Metrics } from "./metrics.ts";

/** @returns the engine itself, but for the calls that are counted */
export function meteredEngine(engine: Engine, metrics: Metrics, catalog: Pick<Catalog, "describeDataset">): Engine {
  const counted: Pick<Engine, "train" | "infer"> = {
    train(job, signal, pause) {
      const run = { ended: false };
      plannedMemory(job.config, engine, catalog).then(
        (bytes) => {
          if (!run.ended) metrics.planned(bytes);
        },
        // The run itself fails of the same, and tells why.
        () => {},
      );
      return countSteps(engine.train(job, signal, pause), metrics, run);
    },
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

async function* countSteps(
  events: AsyncIterable<TrainingEvent>,
  metrics: Metrics,
  run: { ended: boolean },
): AsyncGenerator<TrainingEvent> {
  // A resumed job begins where it was; its first event tells.
  let last: number | undefined;
  try {
    for await (const event of events) {
      metrics.trained(event, event.step - (last ?? (event.kind === "progress" ? event.step - 1 : event.step)));
      last = event.step;
      yield event;
    }
  } finally {
    run.ended = true;
    metrics.trainingEnded();
  }
}

/** Bytes of GPU memory that a run needs at its peak. */
async function plannedMemory(
  { model, dataset, batchSize, precision, limitTrain, limitTest, dataPath, emaDecay }: TrainingConfig,
  engine: Engine,
  catalog: Pick<Catalog, "describeDataset">,
): Promise<number> {
  const { kind, height, width, channels, classNames, images } = await catalog.describeDataset(dataset);
  const used = {
    train: Math.min(images.train, limitTrain ?? Infinity),
    test: Math.min(images.test, limitTest ?? Infinity),
  };
  const size = { height, width, channels, classes: classNames.length, batchSize, precision, images: used };
  // A streamed data set's images never stay on the GPU.
  const path = kind === "streamed" ? "host" as const : dataPath;
  return (await engine.memory({ model, ...size, dataPath: path, emaDecay })).total;
}
