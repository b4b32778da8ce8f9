/**
 * Images of many calls, put together into batches: a batch takes what came while the last one was computed, and waits
 * a little for more when the engine is free.
 */
import type { Engine, InferenceResult } from "../../engine/mod.ts";
import { RequestError } from "../errors.ts";
import { joinImages } from "./images.ts";

export interface ImageResult {
  readonly classNames: readonly string[];
  /** One a class. */
  readonly probabilities: Float32Array;
}

export interface InferenceLimits {
  /** Milliseconds that an image waits for others while the engine is free; 0: not at all. */
  readonly maxWait: number;
  /** Images that may wait at a time, of all calls together. */
  readonly queue: number;
}

export const defaultLimits: InferenceLimits = { maxWait: 2, queue: 1024 };

/** Images computed at a time: the engine's largest batch. */
const largestBatch = 256;

interface Waiting {
  readonly pixels: Uint8Array;
  /** In the clock of `performance.now()`. */
  readonly since: number;
  readonly resolve: (result: ImageResult) => void;
  readonly reject: (error: unknown) => void;
}

/** The images of one checkpoint. */
class CheckpointQueue {
  readonly waiting: Waiting[] = [];
  /** Of the batch being computed, those whose calls have not been given up. */
  computing = new Set<Waiting>();
  /** Ends the batch being computed, once all its calls were given up. */
  abandon = new AbortController();
  /** Called when a batch is full. */
  onFull = () => {};
}

export class InferenceBatcher {
  /** By checkpoint; there while it has images. */
  private readonly queues = new Map<string, CheckpointQueue>();
  private waiting = 0;

  constructor(private readonly engine: Pick<Engine, "infer">, private readonly limits: InferenceLimits) {}

  /**
   * @param images each of the network's input size
   * @returns in the order of the images
   * @throws {RequestError} resource-exhausted: too many images wait. {EngineError}
   * @throws the signal's reason as soon as it aborts; other calls' images in the batch are computed all the same.
   */
  async infer(checkpoint: string, images: readonly Uint8Array[], signal: AbortSignal): Promise<ImageResult[]> {
    signal.throwIfAborted();
    const { queue: limit } = this.limits;
    if (this.waiting + images.length > limit) {
      throw new RequestError(
        "resource-exhausted",
        `Cannot take ${images.length} more images: ${this.waiting} wait, and ${limit} may wait (serve --infer-queue)`,
      );
    }
    return await Promise.all(images.map((pixels) => this.enqueue(checkpoint, pixels, signal)));
  }

  private enqueue(checkpoint: string, pixels: Uint8Array, signal: AbortSignal): Promise<ImageResult> {
    const { promise, resolve, reject } = Promise.withResolvers<ImageResult>();
    const image = { pixels, since: performance.now(), resolve, reject };
    const known = this.queues.get(checkpoint);
    const queue = known ?? new CheckpointQueue();
    queue.waiting.push(image);
    this.waiting++;
    if (queue.waiting.length >= largestBatch) queue.onFull();
    if (!known) {
      this.queues.set(checkpoint, queue);
      this.drain(checkpoint, queue);
    }
    const abort = () => {
      this.forget(queue, image);
      reject(signal.reason);
    };
    signal.addEventListener("abort", abort, { once: true });
    return promise.finally(() => signal.removeEventListener("abort", abort));
  }

  /** Never throws. */
  private async drain(checkpoint: string, queue: CheckpointQueue): Promise<void> {
    while (queue.waiting.length > 0) {
      await this.fill(queue);
      const batch = queue.waiting.splice(0, largestBatch);
      this.waiting -= batch.length;
      if (batch.length > 0) await this.compute(checkpoint, queue, batch);
    }
    this.queues.delete(checkpoint);
  }

  /** Waits until the oldest image has waited long enough, or a batch is full. */
  private async fill(queue: CheckpointQueue): Promise<void> {
    const left = queue.waiting[0].since + this.limits.maxWait - performance.now();
    if (left <= 0 || queue.waiting.length >= largestBatch) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, left);
      queue.onFull = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  private async compute(checkpoint: string, queue: CheckpointQueue, batch: readonly Waiting[]): Promise<void> {
    const pixels = joinImages(batch.map((image) => image.pixels));
    queue.computing = new Set(batch);
    queue.abandon = new AbortController();
    try {
      const result = await this.engine.infer({ checkpoint, pixels, images: batch.length }, queue.abandon.signal);
      batch.forEach((image, index) => image.resolve(imageOf(result, index)));
    } catch (error) {
      for (const image of batch) image.reject(error);
    }
  }

  /** Its call was given up. */
  private forget(queue: CheckpointQueue, image: Waiting): void {
    const index = queue.waiting.indexOf(image);
    if (index >= 0) {
      queue.waiting.splice(index, 1);
      this.waiting--;
    } else if (queue.computing.delete(image) && queue.computing.size === 0) {
      queue.abandon.abort();
    }
  }
}

/** One row of an engine's answer. */
function imageOf({ classNames, probabilities }: InferenceResult, index: number): ImageResult {
  const classes = classNames.length;
  return { classNames, probabilities: probabilities.subarray(index * classes, (index + 1) * classes) };
}
