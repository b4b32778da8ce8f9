/** An engine without a GPU: every answer is computed from the request, so that the server's own work shows. */
import { join } from "node:path";
import {
  type AdapterInfo,
  type CheckpointDescription,
  type Engine,
  EngineError,
  type EvaluationEvent,
  type EvaluationJob,
  type ExportedModel,
  type ExportJob,
  type InferenceJob,
  type InferenceResult,
  type MemoryQuestion,
  type TrainingConfig,
  type TrainingEvent,
  type TrainingJob,
  type TrainingMemory,
} from "../../src/engine/mod.ts";

export const stepsPerEpoch = 4;
export const classNames = ["zero", "one", "two", "three"];
/** Input of the network in every checkpoint. */
export const input = { height: 4, width: 4, channels: 1 };

/** Seeds that make a run go wrong after its first step; the stubborn one ends for nobody, and neither does its engine. */
export const brokenSeeds = { engineError: 901, unknownError: 902, stubborn: 903 };

export interface FakeEngineOptions {
  /** Milliseconds a training step takes; default 1. */
  readonly stepTime?: number;
  /** Milliseconds an inference takes; default 0. */
  readonly inferenceTime?: number;
}

export class FakeEngine implements Engine {
  readonly adapter: AdapterInfo = {
    vendor: "fake",
    architecture: "none",
    device: "0x1",
    description: "A fake adapter",
    software: true,
    features: ["subgroups"],
    limits: { maxBufferSize: 2 ** 33, maxBindGroups: 4 },
  };
  /** What the server asked for. */
  readonly inferences: InferenceJob[] = [];
  readonly evaluations: EvaluationJob[] = [];
  trainings = 0;
  activeTrainings = 0;
  available = true;
  closed = false;
  private readonly listeners: ((available: boolean) => void)[] = [];
  private isStubborn = false;

  constructor(readonly dataDir: string, readonly options: FakeEngineOptions = {}) {}

  onAvailability(listener: (available: boolean) => void): void {
    this.listeners.push(listener);
  }

  setAvailable(available: boolean): void {
    this.available = available;
    for (const listener of this.listeners) listener(available);
  }

  check(config: TrainingConfig): Promise<void> {
    if (config.model.name === "lm-resnet-21") {
      return Promise.reject(new EngineError("invalid", 'Cannot find model "lm-resnet-21": there are lm-resnet-20'));
    }
    if (config.batchSize > 1000) return Promise.reject(new EngineError("exhausted", "The batch does not fit"));
    return Promise.resolve();
  }

  /** A byte a parameter, four an image, two for the rest. */
  memory({ model, batchSize }: MemoryQuestion): Promise<TrainingMemory> {
    if (model.name === "lm-resnet-21") return Promise.reject(new EngineError("invalid", "Cannot find the model"));
    return Promise.resolve({ parameters: 1, activations: 4 * batchSize, workspace: 2, total: 4 * batchSize + 3 });
  }

  async *train({ config, folder }: TrainingJob, signal: AbortSignal): AsyncGenerator<TrainingEvent> {
    this.trainings++;
    this.activeTrainings++;
    if (config.seed === brokenSeeds.stubborn) {
      this.isStubborn = true;
      signal = new AbortController().signal;
    }
    try {
      for (const pipelinesReady of [1, 2]) {
        yield { kind: "preparing", step: 0, epoch: 0, pipelinesReady, pipelinesTotal: 2 };
      }
      const totalSteps = config.epochs * stepsPerEpoch;
      for (let step = 1; step <= totalSteps; step++) {
        await pause(this.options.stepTime ?? 1, signal);
        const epoch = Math.floor((step - 1) / stepsPerEpoch);
        const metrics = { loss: 1 / step, top1: 1 - 1 / step, top5: 1, images: config.batchSize };
        const { learningRate } = config;
        yield { kind: "progress", step, epoch, metrics, learningRate, imagesPerSecond: 100, totalSteps };
        if (config.seed === brokenSeeds.engineError) throw new EngineError("internal", "The device was lost");
        if (config.seed === brokenSeeds.unknownError) throw new TypeError("undefined is not /secret/path");
      }
      const end = { step: totalSteps, epoch: config.epochs - 1 };
      yield { ...end, kind: "evaluation", metrics: { loss: 0.1, top1: 0.97, top5: 1, images: 2000 } };
      const checkpoint = await this.writeCheckpoint(folder, end);
      yield { ...end, kind: "checkpoint", checkpoint, best: true, kept: [checkpoint.path] };
    } finally {
      this.activeTrainings--;
    }
  }

  async *evaluate(job: EvaluationJob, signal: AbortSignal): AsyncGenerator<EvaluationEvent> {
    this.evaluations.push(job);
    const imagesTotal = job.limit ?? 100;
    for (const imagesDone of [0, imagesTotal]) {
      await pause(1, signal);
      yield { kind: "progress", imagesDone, imagesTotal };
    }
    const confusion = Uint32Array.from({ length: classNames.length ** 2 }, (_, index) => index);
    const metrics = { loss: 0.25, top1: 0.75, top5: 1, images: imagesTotal };
    yield { kind: "result", result: { metrics, classNames, confusion, imagesPerSecond: 1000 } };
  }

  async describeCheckpoint(checkpoint: string, signal: AbortSignal): Promise<CheckpointDescription> {
    signal.throwIfAborted();
    try {
      await Deno.stat(join(this.dataDir, checkpoint));
    } catch {
      throw new EngineError("invalid", `Cannot read checkpoint "${checkpoint}"`);
    }
    return { model: { name: "lm-resnet-20" }, dataset: "digits", ...input, classNames };
  }

  /** The class of an image is its first pixel modulo the classes; it has probability 0.7, the others 0.1 each. */
  async infer(job: InferenceJob, signal: AbortSignal): Promise<InferenceResult> {
    this.inferences.push(job);
    await pause(this.options.inferenceTime ?? 0, signal);
    const probabilities = new Float32Array(job.images * classNames.length).fill(0.1);
    for (let image = 0; image < job.images; image++) {
      const first = job.pixels[image * input.height * input.width];
      probabilities[image * classNames.length + first % classNames.length] = 0.7;
    }
    return { classNames, probabilities };
  }

  exportModel({ checkpoint }: ExportJob): Promise<ExportedModel> {
    return Promise.resolve({ path: checkpoint, bytes: 7, sha256: "0".repeat(64) });
  }

  close(): Promise<void> {
    this.closed = true;
    return this.isStubborn ? new Promise(() => {}) : Promise.resolve();
  }

  private async writeCheckpoint(folder: string, position: { step: number; epoch: number }) {
    const path = `${folder}/checkpoints/step-${String(position.step).padStart(8, "0")}.safetensors`;
    await Deno.mkdir(join(this.dataDir, folder, "checkpoints"), { recursive: true });
    await Deno.writeTextFile(join(this.dataDir, path), "weights");
    return { path, ...position, bytes: 7 };
  }
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
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
