/** An engine without a GPU: every answer is computed from the request, so that the server's own work shows. */
import { STRETCH } from "../../src/data/mod.ts";
import { join } from "node:path";
import {
  type AdapterInfo,
  type CheckpointAnalysis,
  type CheckpointDescription,
  type Engine,
  EngineError,
  type EvaluationEvent,
  type EvaluationJob,
  type ExportedModel,
  type ExportJob,
  type ImportedModel,
  type InferenceJob,
  type InferenceResult,
  type MemoryQuestion,
  type ModelImportJob,
  type TrainingConfig,
  type TrainingEvent,
  type TrainingJob,
  type TrainingMemory,
} from "../../src/engine/mod.ts";
import { describeScheme } from "../../src/models/mod.ts";
import { learnedCoefficient } from "../../src/models/analysis/network_analysis.ts";
import { brokenSeeds, fakeTraining, sleep } from "./fake_training.ts";

export { brokenSeeds, stepsPerEpoch } from "./fake_training.ts";

export const classNames = ["zero", "one", "two", "three"];
/** Input of the network in every checkpoint. */
export const input = { height: 4, width: 4, channels: 1 };

export interface FakeEngineOptions {
  /** Milliseconds a training step takes; default 1. */
  stepTime?: number;
  /** Milliseconds the check of a configuration takes; default 0. */
  checkTime?: number;
  /** Milliseconds an inference takes; default 0. */
  readonly inferenceTime?: number;
  /** Evaluates and writes a checkpoint after every epoch, not only after the last. */
  readonly everyEpoch?: boolean;
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
  exports = 0;
  trainings = 0;
  activeTrainings = 0;
  /** Faults so far. */
  faults = 0;
  available = true;
  /** Milliseconds that the engine is not available after a fault. */
  replacementTime = 0;
  trainedWhileUnavailable = false;
  closed = false;
  /** Thrown by jobs that resume. */
  resumeError: EngineError | undefined;
  readonly listeners = new Set<(available: boolean) => void>();
  private isStubborn = false;

  constructor(readonly dataDir: string, readonly options: FakeEngineOptions = {}) {}

  onAvailability(listener: (available: boolean) => void): Disposable {
    this.listeners.add(listener);
    return { [Symbol.dispose]: () => this.listeners.delete(listener) };
  }

  setAvailable(available: boolean): void {
    this.available = available;
    for (const listener of this.listeners) listener(available);
  }

  async check(config: TrainingConfig, signal?: AbortSignal): Promise<void> {
    if (this.options.checkTime) await sleep(this.options.checkTime, signal ?? new AbortController().signal);
    if (config.model.name === "lm-resnet-21") {
      throw new EngineError("invalid", 'Cannot find model "lm-resnet-21": there are lm-resnet-20');
    }
    if (config.batchSize > 1000) throw new EngineError("exhausted", "The batch does not fit");
  }

  /** A byte a parameter, and one of its moving average; four an image, two for the rest. */
  memory({ model, batchSize, emaDecay }: MemoryQuestion): Promise<TrainingMemory> {
    if (model.name === "lm-resnet-21") return Promise.reject(new EngineError("invalid", "Cannot find the model"));
    const parameters = emaDecay === undefined ? 1 : 2;
    const activations = 4 * batchSize;
    return Promise.resolve({ parameters, activations, workspace: 2, images: 0, total: parameters + activations + 2 });
  }

  async *train(job: TrainingJob, signal: AbortSignal, pause?: AbortSignal): AsyncGenerator<TrainingEvent> {
    this.trainings++;
    this.activeTrainings++;
    this.trainedWhileUnavailable ||= !this.available;
    if (job.config.seed === brokenSeeds.stubborn) {
      this.isStubborn = true;
      signal = new AbortController().signal;
      pause = undefined;
    }
    try {
      if (job.resume && this.resumeError) throw this.resumeError;
      yield* fakeTraining(this.dataDir, job, { ...this.options, firstFault: this.faults === 0, signal, pause });
    } catch (error) {
      if (error instanceof EngineError && error.kind === "fault") this.breakFor(this.replacementTime);
      throw error;
    } finally {
      this.activeTrainings--;
    }
  }

  private breakFor(milliseconds: number): void {
    this.faults++;
    if (milliseconds === 0) return;
    this.setAvailable(false);
    setTimeout(() => this.setAvailable(true), milliseconds);
  }

  async *evaluate(job: EvaluationJob, signal: AbortSignal): AsyncGenerator<EvaluationEvent> {
    this.evaluations.push(job);
    const imagesTotal = job.limit ?? 100;
    for (const imagesDone of [0, imagesTotal]) {
      await sleep(1, signal);
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
    return { model: { name: "lm-resnet-20" }, dataset: "digits", ...input, classNames, preprocessing: STRETCH };
  }

  /** The class of an image is its first pixel modulo the classes; it has probability 0.7, the others 0.1 each. */
  async infer(job: InferenceJob, signal: AbortSignal): Promise<InferenceResult> {
    this.inferences.push(job);
    await sleep(this.options.inferenceTime ?? 0, signal);
    const probabilities = new Float32Array(job.images * classNames.length).fill(0.1);
    for (let image = 0; image < job.images; image++) {
      const first = job.pixels[image * input.height * input.width];
      probabilities[image * classNames.length + first % classNames.length] = 0.7;
    }
    return { classNames, probabilities };
  }

  /** The second of two blocks learned k = 0.25. */
  async analyze(checkpoint: string, signal: AbortSignal): Promise<CheckpointAnalysis> {
    const { model } = await this.describeCheckpoint(checkpoint, signal);
    const coefficient = learnedCoefficient(Float32Array.of(0.25));
    const blocks = [
      { name: "stage1.block0", stage: 1, step: 1 },
      { name: "stage1.block1", stage: 1, step: 2, coefficient },
    ];
    return { model, step: 4, isAverage: false, scheme: describeScheme({ scheme: "linear_multistep" }), blocks };
  }

  /** The checkpoint's text, its weights alone, or "pytorch" before its text. */
  async exportModel({ checkpoint, optimizerState, format }: ExportJob): Promise<ExportedModel> {
    this.exports++;
    const text = await Deno.readTextFile(join(this.dataDir, checkpoint));
    if (format === "pytorch") return await this.exported(`${checkpoint}.pytorch`, `pytorch ${text}`);
    const path = optimizerState ? checkpoint : `${checkpoint}.weights`;
    return await this.exported(path, optimizerState ? text : String(JSON.parse(text).weights));
  }

  private async exported(path: string, text: string): Promise<ExportedModel> {
    const bytes = new TextEncoder().encode(text);
    await Deno.writeFile(join(this.dataDir, path), bytes);
    const sha256 = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
    return { path, bytes: bytes.length, sha256 };
  }

  /** A checkpoint of the job's JSON. */
  async importModel({ source, name, network }: ModelImportJob): Promise<ImportedModel> {
    const path = `models/${name}.safetensors`;
    const content = JSON.stringify({ source, network });
    await Deno.mkdir(join(this.dataDir, "models"), { recursive: true });
    await Deno.writeTextFile(join(this.dataDir, path), content, { createNew: true }).catch((cause) => {
      throw new EngineError("exists", `Cannot import a model as "${name}": there is one`, { cause });
    });
    const { model = { name: "lm-resnet-20" }, trainedOn = { dataset: "digits" } } = network ?? {};
    const images = "dataset" in trainedOn ? input : trainedOn;
    const { height, width, channels } = images;
    const described = { dataset: "digits", height, width, channels, classNames, preprocessing: STRETCH };
    return { checkpoint: { path, step: 0, epoch: 0, bytes: content.length }, description: { model, ...described } };
  }

  close(): Promise<void> {
    this.closed = true;
    return this.isStubborn ? new Promise(() => {}) : Promise.resolve();
  }
}
