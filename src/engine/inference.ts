import { type Interlude, MemoryLimitError } from "../gpu/mod.ts";
import type { Checkpoint } from "../models/mod.ts";
import { readCheckpoint } from "./checkpoint_files.ts";
import type { EngineContext } from "./context.ts";
import { type CheckpointDescription, EngineError, type InferenceJob, type InferenceResult } from "./messages.ts";
import { eventLoopTurn, paced } from "./pace.ts";
import { inferenceProgram } from "./programs.ts";
import { descriptionOf, loadNetwork, shapeOf, type TrainedNetwork } from "./trained_network.ts";

/** Batch sizes that plans are made for, where they fit in memory. */
const BUCKETS = [1, 4, 16, 64, 256];
/** Checkpoints whose networks stay on the GPU. */
const CACHED = 4;

interface Loaded {
  readonly checkpoint: Checkpoint;
  readonly networks: Map<number, Promise<TrainedNetwork>>;
  /** Batch sizes that fit in memory, as far as is known. */
  buckets: readonly number[];
}

/** Answers inference from checkpoints, keeping the networks last used on the GPU. */
export class InferenceService {
  readonly #context: EngineContext;
  /** By path and what tells one file of that name from the next; least recently used first. */
  readonly #loaded = new Map<string, Promise<Loaded>>();
  #busy: Promise<unknown> = Promise.resolve();

  constructor(context: EngineContext) {
    this.#context = context;
  }

  async describe(path: string): Promise<CheckpointDescription> {
    return descriptionOf((await this.#load(path)).checkpoint);
  }

  /**
   * Probabilities of each image.
   * @throws {EngineError} for a missing or damaged checkpoint, or pixels that are not of the network's size.
   */
  async infer(job: InferenceJob, signal: AbortSignal): Promise<InferenceResult> {
    // One at a time: a network's staging buffers hold one batch.
    const turn = this.#busy.then(() => {
      signal.throwIfAborted();
      return this.#inferNow(job, signal);
    });
    this.#busy = turn.catch(() => {});
    return await turn;
  }

  async #inferNow({ checkpoint: path, pixels, images }: InferenceJob, signal: AbortSignal): Promise<InferenceResult> {
    const loaded = await this.#load(path);
    const { checkpoint } = loaded;
    const { height, width, channels, classNames } = checkpoint.dataset;
    const imageBytes = height * width * channels;
    if (pixels.length !== images * imageBytes) {
      throw new EngineError(
        "invalid",
        `Cannot infer: ${images} images of ${height}x${width}x${channels} are ${
          images * imageBytes
        } bytes, got ${pixels.length}`,
      );
    }
    const classes = classNames.length;
    const probabilities = new Float32Array(images * classes);
    const rowLength = Math.ceil(classes / 4) * 4;
    for (let start = 0; start < images;) {
      if (start > 0) await eventLoopTurn();
      signal.throwIfAborted();
      const { size, network: { runner } } = await this.#networkFor(loaded, images - start, paced(signal));
      const count = Math.min(size, images - start);
      const batch = {
        count,
        pixels: paddedPixels(pixels.subarray(start * imageBytes, (start + count) * imageBytes), size * imageBytes),
        labels: new Uint32Array(size),
        examples: new Uint32Array(size),
      };
      const output = await runner.read(runner.submit(batch, { learningRate: 0, seed: 0, epoch: 0, step: 0 }));
      for (let row = 0; row < count; row++) {
        const values = output.subarray(row * rowLength, row * rowLength + classes);
        probabilities.set(values, (start + row) * classes);
      }
      start += count;
    }
    return { classNames, probabilities };
  }

  /** Frees all networks, after the call that may be using one; they are loaded again when they are asked for. */
  async release(): Promise<void> {
    this.#busy = this.#busy.then(() => this.#freeNetworks()).catch(() => {});
    await this.#busy;
  }

  async #freeNetworks(): Promise<void> {
    await Promise.allSettled([...this.#loaded.values()].map(destroyAll));
  }

  async #load(path: string): Promise<Loaded> {
    const key = `${path} ${await stampOf(`${this.#context.dataDir}/${path}`)}`;
    const known = this.#loaded.get(key);
    this.#loaded.delete(key);
    const loaded = known ?? readCheckpoint(this.#context.dataDir, path).then((checkpoint) => {
      return { checkpoint, networks: new Map<number, Promise<TrainedNetwork>>(), buckets: BUCKETS };
    });
    this.#loaded.set(key, loaded);
    loaded.catch(() => this.#loaded.delete(key));
    this.#evict();
    return await loaded;
  }

  /**
   * The network for the next of `left` images: with the best batch size that fits in memory, if need be without the
   * others that are kept there.
   */
  async #networkFor(
    loaded: Loaded,
    left: number,
    interlude: Interlude,
  ): Promise<{ readonly size: number; readonly network: TrainedNetwork }> {
    while (true) {
      const size = bucketFor(loaded.buckets, left);
      try {
        return { size, network: await this.#network(loaded, size, interlude) };
      } catch (error) {
        if (!(error instanceof MemoryLimitError)) throw error;
      }
      await this.#freeNetworks();
      try {
        return { size, network: await this.#network(loaded, size, interlude) };
      } catch (error) {
        const smaller = loaded.buckets.filter((bucket) => bucket < size);
        if (!(error instanceof MemoryLimitError) || smaller.length === 0) throw error;
        loaded.buckets = smaller;
      }
    }
  }

  #network({ checkpoint, networks }: Loaded, size: number, interlude: Interlude): Promise<TrainedNetwork> {
    const known = networks.get(size);
    if (known) return known;
    const network = loadNetwork(this.#context, checkpoint, {
      program: inferenceProgram(shapeOf(checkpoint), size),
      interlude,
    });
    networks.set(size, network);
    network.catch(() => networks.delete(size));
    return network;
  }

  #evict(): void {
    for (const [key, loaded] of this.#loaded) {
      if (this.#loaded.size <= CACHED) return;
      this.#loaded.delete(key);
      // After the call that may be using it.
      this.#busy = this.#busy.then(() => destroyAll(loaded)).catch(() => {});
    }
  }
}

/** Differs where a file was replaced: those of runs never change, but a path may be a user's own. */
async function stampOf(path: string): Promise<string> {
  try {
    const { mtime, size, ino } = await Deno.stat(path);
    return `${mtime?.getTime()} ${size} ${ino}`;
  } catch {
    // Whoever reads it says why it cannot be.
    return "none";
  }
}

async function destroyAll(loaded: Promise<Loaded>): Promise<void> {
  const { networks } = await loaded;
  const all = [...networks.values()];
  networks.clear();
  for (const network of all) (await network).destroy();
}

/**
 * The smallest batch size that holds what is left if it is half full at least, else the largest that is filled.
 * @param buckets Ascending, the first 1.
 */
export function bucketFor(buckets: readonly number[], left: number): number {
  const holding = buckets.find((bucket) => bucket >= left);
  if (holding !== undefined && 2 * left >= holding) return holding;
  return buckets.findLast((bucket) => bucket <= left) ?? buckets[0];
}

function paddedPixels(pixels: Uint8Array, bytes: number): Uint8Array<ArrayBuffer> {
  const padded = new Uint8Array(Math.ceil(bytes / 4) * 4);
  padded.set(pixels);
  return padded;
}
