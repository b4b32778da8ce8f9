/**
 * A real server with the real engine, killed again and again in the middle of a run, against the same run never killed:
 * what watchers saw, what the log has, the checkpoints and the weights in the end.
 */
import { toJsonString } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { type Metrics, startEngine, type TrainingConfig } from "../src/engine/mod.ts";
import { type RunEvent, RunEventSchema, RunState, TrainingService } from "../src/gen/mod.ts";
import { type Checkpoint, decodeCheckpoint } from "../src/models/mod.ts";
import { spawnServer } from "./server_process.ts";

export interface KillOptions {
  readonly kills: number;
  /** Epochs of 6 steps. */
  readonly epochs: number;
  readonly onKill?: (kill: { readonly number: number; readonly step: number; readonly events: number }) => void;
}

export interface KillReport {
  readonly kills: number;
  /** Of the run: one more than the kills that it has met. */
  readonly attempts: number;
  readonly events: number;
  readonly checkpointsRead: number;
  /** What was not as it should be, in sentences; empty: nothing. */
  readonly problems: readonly string[];
}

const STEPS_PER_EPOCH = 6;

function configOf(epochs: number): TrainingConfig {
  return {
    model: { name: "lm-resnet-8" },
    dataset: "mnist",
    epochs,
    batchSize: 8,
    seed: 23,
    // The last batch of an epoch is smaller.
    limitTrain: 44,
    limitTest: 16,
    learningRate: 0.02,
    momentum: 0.9,
    weightDecay: 1e-4,
    decayMultistepCoefficients: true,
    milestones: [1],
    factor: 0.5,
    labelSmoothing: 0.1,
    cropPadding: 2,
    horizontalFlip: true,
    precision: "f32",
    evaluateEveryEpochs: 2,
    checkpointEverySteps: 4,
    checkpointsKept: 2,
    maxRetries: 0,
  };
}

export async function killRuns(options: KillOptions): Promise<KillReport> {
  const config = configOf(options.epochs);
  const root = await Deno.makeTempDir({ prefix: "multistep-kills-" });
  try {
    const reference = await trainUnkilled(`${root}/reference`, config);
    return await new KilledRun(`${root}/killed`, config, options).run(reference);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

interface Reference {
  /** Of each step, from the first. */
  readonly steps: readonly Metrics[];
  /** By step. */
  readonly evaluations: ReadonlyMap<number, Metrics>;
  readonly end: Checkpoint;
}

async function trainUnkilled(dataDir: string, config: TrainingConfig): Promise<Reference> {
  const engine = await startEngine({ dataDir });
  try {
    const steps: Metrics[] = [];
    const evaluations = new Map<number, Metrics>();
    const job = { config, folder: "runs/a", resume: false };
    let last = "";
    for await (const event of engine.train(job, new AbortController().signal)) {
      if (event.kind === "progress") steps.push(event.metrics);
      if (event.kind === "evaluation") evaluations.set(event.step, event.metrics);
      if (event.kind === "checkpoint") last = event.checkpoint.path;
    }
    return { steps, evaluations, end: decodeCheckpoint(await Deno.readFile(`${dataDir}/${last}`)) };
  } finally {
    await engine.close();
  }
}

class KilledRun {
  readonly #dataDir: string;
  readonly #config: TrainingConfig;
  readonly #options: KillOptions;
  /** What the watchers saw, one after the other. */
  readonly #seen: RunEvent[] = [];
  readonly #problems: string[] = [];
  #name = "";
  #checkpointsRead = 0;

  constructor(dataDir: string, config: TrainingConfig, options: KillOptions) {
    this.#dataDir = dataDir;
    this.#config = config;
    this.#options = options;
  }

  async run(reference: Reference): Promise<KillReport> {
    const { kills, onKill } = this.#options;
    const total = this.#config.epochs * STEPS_PER_EPOCH;
    // In order, so that the run goes on between them; a step that was passed already is a kill while kernels compile.
    const steps = Array.from({ length: kills }, () => 1 + Math.floor(Math.random() * (total - 2))).sort((a, b) =>
      a - b
    );
    for (const [i, step] of steps.entries()) {
      await this.#serveUntil(step);
      onKill?.({ number: i + 1, step: this.#seen.at(-1)?.step ?? 0, events: this.#seen.length });
      await this.#readCheckpoints();
    }
    await this.#serveUntil(Infinity);
    this.#checkLog(reference);
    this.#checkEnd(reference);
    const attempts = this.#seen.at(-1)?.attempt ?? 0;
    return {
      kills,
      attempts,
      events: this.#seen.length,
      checkpointsRead: this.#checkpointsRead,
      problems: this.#problems,
    };
  }

  /** Serves and watches until the run has told of a step, and a moment longer, then kills; Infinity: until it ends. */
  async #serveUntil(step: number): Promise<void> {
    const server = await spawnServer(this.#dataDir);
    const gone = new AbortController();
    const training = createClient(TrainingService, createGrpcTransport({ baseUrl: `http://${server.address}` }));
    try {
      const stream = this.#name === ""
        ? training.train({ config: requestOf(this.#config), requestId: "kills" }, { signal: gone.signal })
        : training.watchRun(
          { name: this.#name, afterSequence: this.#seen.at(-1)?.sequence ?? 0 },
          { signal: gone.signal },
        );
      const moment = Math.random() * 300;
      let timer: ReturnType<typeof setTimeout> | undefined;
      const killSoon = () => timer ??= setTimeout(() => server.kill(), moment);
      if ((this.#seen.at(-1)?.step ?? 0) >= step) killSoon();
      for await (const { event } of stream) {
        if (!event) continue;
        this.#name = event.run;
        this.#seen.push(event);
        if (event.step >= step) killSoon();
      }
      clearTimeout(timer);
    } catch (error) {
      // The connection of a server that was killed.
      if (!server.killed) throw error;
    } finally {
      gone.abort();
      if (step === Infinity) await this.#checkWholeLog(training);
      await server.kill();
    }
  }

  /** What a watcher sees who comes in the end is what the others saw, piece by piece. */
  async #checkWholeLog(training: ReturnType<typeof createClient<typeof TrainingService>>): Promise<void> {
    const text = (events: readonly RunEvent[]) => events.map((event) => toJsonString(RunEventSchema, event));
    const whole: RunEvent[] = [];
    for await (const { event } of training.watchRun({ name: this.#name })) if (event) whole.push(event);
    const [log, seen] = [text(whole), text(this.#seen)];
    const different = log.findIndex((event, i) => event !== seen[i]);
    if (different >= 0 || log.length !== seen.length) {
      this.#problems.push(`Watchers saw ${seen.length} events, the log has ${log.length}: ${log[different]}`);
    }
  }

  async #readCheckpoints(): Promise<void> {
    const folder = `${this.#dataDir}/${this.#name}/checkpoints`;
    if (this.#name === "" || !await exists(folder)) return;
    for await (const { name } of Deno.readDir(folder)) {
      if (!name.endsWith(".safetensors")) continue;
      try {
        decodeCheckpoint(await Deno.readFile(`${folder}/${name}`));
        this.#checkpointsRead++;
      } catch (error) {
        // The worker of the killed server may have deleted it in its last moment.
        if (!(error instanceof Deno.errors.NotFound)) this.#problems.push(`${name} is unreadable: ${error}`);
      }
    }
  }

  #checkLog({ steps, evaluations }: Reference): void {
    let covered = 0;
    const evaluated = new Map<number, Metrics>();
    for (const [i, event] of this.#seen.entries()) {
      if (event.sequence !== i + 1) this.#problems.push(`Event ${i + 1} has sequence ${event.sequence}`);
      const { kind, step } = event;
      if (kind.case === "resumed" && kind.value.refused.length > 0) {
        this.#problems.push(`${kind.value.refused[0].path} was refused: ${kind.value.refused[0].reason}`);
      }
      if (kind.case === "progress" && kind.value.metrics) {
        if (kind.value.firstStep !== covered + 1) {
          this.#problems.push(`Progress from step ${kind.value.firstStep} follows step ${covered}`);
        }
        covered = step;
        this.#checkMetrics(`steps ${kind.value.firstStep} to ${step}`, {
          told: kind.value.metrics,
          expected: meanOf(steps.slice(kind.value.firstStep - 1, step)),
        });
      }
      if (kind.case === "evaluation" && kind.value.metrics) {
        if (evaluated.has(step)) this.#problems.push(`The evaluation at step ${step} was told twice`);
        evaluated.set(step, kind.value.metrics);
      }
    }
    if (covered !== steps.length) this.#problems.push(`Progress ends at step ${covered}, not ${steps.length}`);
    for (const [step, expected] of evaluations) {
      const told = evaluated.get(step);
      if (told) this.#checkMetrics(`the evaluation at step ${step}`, { told, expected });
      else this.#problems.push(`The evaluation at step ${step} was not told`);
    }
    const last = this.#seen.at(-1)?.kind;
    if (last?.case !== "stateChanged" || last.value.state !== RunState.SUCCEEDED) {
      this.#problems.push("The run did not succeed");
    }
  }

  #checkMetrics(what: string, { told, expected }: { readonly told: Metrics; readonly expected: Metrics }): void {
    const difference = Math.abs(told.loss - expected.loss) / expected.loss;
    if (difference < 1e-9 && told.images === expected.images) return;
    this.#problems.push(`The loss of ${what} is ${told.loss} of ${told.images} images, not ${expected.loss}`);
  }

  #checkEnd({ end, steps }: Reference): void {
    const path = `${this.#dataDir}/${this.#name}/checkpoints/step-${String(steps.length).padStart(8, "0")}.safetensors`;
    const killed = decodeCheckpoint(Deno.readFileSync(path));
    for (const kind of ["parameters", "velocities", "states"] as const) {
      for (const [name, { data }] of end[kind]) {
        const other = killed[kind].get(name)?.data;
        if (!other || !sameBits(data, other)) this.#problems.push(`The ${kind} of "${name}" differ in the end`);
      }
    }
    if (JSON.stringify([killed.position, killed.best]) !== JSON.stringify([end.position, end.best])) {
      this.#problems.push("The position or the best evaluation differs in the end");
    }
  }
}

function requestOf(config: TrainingConfig) {
  const { model, dataset, epochs, batchSize, limitTrain, limitTest, labelSmoothing } = config;
  const { learningRate, momentum, weightDecay, milestones, factor, cropPadding, horizontalFlip } = config;
  const { evaluateEveryEpochs, checkpointEverySteps, checkpointsKept, maxRetries } = config;
  return {
    model: { name: model.name },
    ...{ dataset, epochs, batchSize, limitTrain, limitTest, labelSmoothing },
    seed: BigInt(config.seed),
    optimizer: { learningRate, momentum, weightDecay },
    schedule: { milestones: [...milestones], factor },
    augmentation: { cropPadding, horizontalFlip },
    ...{ evaluateEveryEpochs, checkpointEverySteps, checkpointsKept, maxRetries },
  };
}

/** Over the images of all. */
function meanOf(steps: readonly Metrics[]): Metrics {
  const images = steps.reduce((sum, step) => sum + step.images, 0);
  const mean = (of: (step: Metrics) => number) => steps.reduce((sum, step) => sum + of(step) * step.images, 0) / images;
  return { loss: mean(({ loss }) => loss), top1: mean(({ top1 }) => top1), top5: mean(({ top5 }) => top5), images };
}

function sameBits(a: Float32Array<ArrayBuffer>, b: Float32Array<ArrayBuffer>): boolean {
  const [x, y] = [a, b].map(({ buffer, byteOffset, length }) => new Uint32Array(buffer, byteOffset, length));
  return x.length === y.length && x.every((bits, i) => bits === y[i]);
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
