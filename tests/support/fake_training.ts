/**
 * Training without a network: every number follows from the seed and the step, and the "weights" from all steps before,
 * so that a run which lost or repeated a step is found out.
 */
import { join } from "node:path";
import {
  type CheckpointInfo,
  EngineError,
  type Metrics,
  type RefusedCheckpoint,
  type TrainingConfig,
  type TrainingEvent,
  type TrainingJob,
} from "../../src/engine/mod.ts";

export const stepsPerEpoch = 4;

/**
 * Seeds that make a run go wrong after its first step: every time, but for `oneFault`. The stubborn one ends for nobody,
 * and neither does its engine.
 */
export const brokenSeeds = {
  engineError: 901,
  unknownError: 902,
  stubborn: 903,
  fault: 904,
  oneFault: 905,
  diverged: 906,
};

export interface FakeTrainingOptions {
  readonly stepTime?: number;
  readonly everyEpoch?: boolean;
  /** Whether no fault has happened yet. */
  readonly firstFault: boolean;
  readonly signal: AbortSignal;
  readonly pause?: AbortSignal;
}

/** What a checkpoint holds. */
interface Position {
  readonly step: number;
  readonly weights: number;
  /** Of the evaluations so far. */
  readonly bestTop1: number;
}

export function metricsOf(seed: number, step: number, images: number): Metrics {
  return { loss: 1 / step + seed, top1: 1 - 1 / step, top5: 1, images };
}

export function evaluationOf(step: number): Metrics {
  return { loss: 0.1, top1: step % 7 === 0 ? 0.96 : 0.97, top5: 1, images: 2000 };
}

/** The weights after a step (the constants of MMIX's generator, in 32 bits). */
export function nextWeights(weights: number, step: number): number {
  return (Math.imul(weights ^ step, 0x4c957f2d) + 0x14057b7e) >>> 0;
}

export async function* fakeTraining(
  dataDir: string,
  { config, folder, resume }: TrainingJob,
  { stepTime = 1, everyEpoch = false, firstFault, signal, pause }: FakeTrainingOptions,
): AsyncGenerator<TrainingEvent> {
  const files = new FakeCheckpoints(dataDir, folder);
  let position: Position = { step: 0, weights: config.seed, bestTop1: 0 };
  if (resume) {
    const found = await files.newest();
    position = found.position ?? position;
    yield { kind: "resumed", step: position.step, epoch: epochOf(position.step), ...found.told };
  }
  for (const pipelinesReady of [1, 2]) {
    const { step } = position;
    yield { kind: "preparing", step, epoch: epochOf(step), pipelinesReady, pipelinesTotal: 2 };
  }
  const totalSteps = config.epochs * stepsPerEpoch;
  while (position.step < totalSteps) {
    await sleep(stepTime, signal);
    const step = position.step + 1;
    const epoch = epochOf(step);
    position = { ...position, step, weights: nextWeights(position.weights, step) };
    const { learningRate } = config;
    const metrics = metricsOf(config.seed, step, config.batchSize);
    yield { kind: "progress", step, epoch, metrics, learningRate, imagesPerSecond: 100, dataWait: 0, totalSteps };
    breakDown(config, firstFault);
    const isResult = step === totalSteps || everyEpoch && step % stepsPerEpoch === 0;
    let best = false;
    if (isResult) {
      const evaluation = evaluationOf(step);
      yield { step, epoch, kind: "evaluation", metrics: evaluation };
      best = evaluation.top1 > position.bestTop1;
      if (best) position = { ...position, bestTop1: evaluation.top1 };
    }
    const { checkpointEverySteps: every, checkpointsKept } = config;
    const isPaused = pause?.aborted && step < totalSteps;
    if (isResult || isPaused || every > 0 && step % every === 0) {
      await files.stage(position);
      yield { kind: "checkpointing", step, epoch };
      const published = await files.publish(position, { best, keep: checkpointsKept });
      yield { kind: "checkpoint", step, epoch, best, ...published };
    }
    if (isPaused) {
      yield { kind: "paused", step, epoch };
      return;
    }
  }
}

function epochOf(step: number): number {
  return Math.max(0, Math.floor((step - 1) / stepsPerEpoch));
}

function breakDown({ seed }: TrainingConfig, firstFault: boolean): void {
  if (seed === brokenSeeds.engineError) throw new EngineError("internal", "The device was lost");
  if (seed === brokenSeeds.unknownError) throw new TypeError("undefined is not /secret/path");
  if (seed === brokenSeeds.diverged) throw new EngineError("diverged", "The loss became NaN");
  if (seed === brokenSeeds.fault || seed === brokenSeeds.oneFault && firstFault) {
    throw new EngineError("fault", "The device was lost");
  }
}

/** The checkpoint files of a run. */
class FakeCheckpoints {
  private readonly folder: string;
  private bestName: string | undefined;

  constructor(private readonly dataDir: string, runFolder: string) {
    this.folder = `${runFolder}/checkpoints`;
  }

  async newest(): Promise<{
    position?: Position;
    told: { readonly from?: CheckpointInfo; readonly refused: RefusedCheckpoint[] };
  }> {
    const refused: RefusedCheckpoint[] = [];
    for (const name of this.names().reverse()) {
      const path = `${this.folder}/${name}`;
      const text = await Deno.readTextFile(join(this.dataDir, path));
      try {
        const position: Position = JSON.parse(text);
        const { step } = position;
        return { position, told: { from: { path, step, epoch: epochOf(step), bytes: text.length }, refused } };
      } catch {
        refused.push({ path, reason: "It is cut off" });
      }
    }
    return { told: { refused } };
  }

  /** Writes a file under another name. */
  async stage(position: Position): Promise<void> {
    await storing(async () => {
      await Deno.mkdir(join(this.dataDir, this.folder), { recursive: true });
      await Deno.writeTextFile(this.temporary, JSON.stringify(position));
    });
  }

  /** Gives the file its name, and deletes older ones. */
  async publish(
    { step }: Position,
    { best, keep }: { readonly best: boolean; readonly keep: number },
  ): Promise<{ checkpoint: CheckpointInfo; kept: string[] }> {
    return await storing(async () => {
      const name = `step-${String(step).padStart(8, "0")}.safetensors`;
      const path = `${this.folder}/${name}`;
      await Deno.rename(this.temporary, join(this.dataDir, path));
      if (best) this.bestName = name;
      const names = this.names();
      const newest = names.slice(-keep);
      const kept = names.filter((one) => newest.includes(one) || one === this.bestName);
      for (const one of names) if (!kept.includes(one)) await Deno.remove(join(this.dataDir, this.folder, one));
      const { size: bytes } = await Deno.stat(join(this.dataDir, path));
      const checkpoint = { path, step, epoch: epochOf(step), bytes };
      return { checkpoint, kept: kept.map((one) => `${this.folder}/${one}`) };
    });
  }

  private get temporary(): string {
    return join(this.dataDir, this.folder, "checkpoint.partial");
  }

  /** Oldest first. */
  private names(): string[] {
    try {
      return [...Deno.readDirSync(join(this.dataDir, this.folder))].map(({ name }) => name)
        .filter((name) => name.endsWith(".safetensors")).sort();
    } catch {
      return [];
    }
  }
}

/** @throws {EngineError} storage */
async function storing<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : "";
    if (code === "ENOSPC" || code === "EROFS") throw new EngineError("storage", "No room for a checkpoint");
    throw error;
  }
}

export function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal.addEventListener("abort", abort, { once: true });
  });
}
