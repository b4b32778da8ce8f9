/** Single images of many streams, put together into batches: the next takes what came while the last was computed. */
import type { Engine, InferenceResult } from "../../engine/mod.ts";
import { joinImages } from "./images.ts";

export interface ImageResult {
  readonly classNames: readonly string[];
  /** One a class. */
  readonly probabilities: Float32Array;
}

interface Waiting {
  readonly pixels: Uint8Array;
  readonly signal: AbortSignal;
  readonly resolve: (result: ImageResult) => void;
  readonly reject: (error: unknown) => void;
}

/** Images computed at a time. */
const largestBatch = 64;

export class InferenceBatcher {
  /** By checkpoint; present while a batch of it is computed. */
  private readonly waiting = new Map<string, Waiting[]>();

  constructor(private readonly engine: Pick<Engine, "infer">) {}

  /**
   * @param pixels one image of the network's input size
   * @throws {EngineError}; the signal's reason, when it aborts before the image's turn.
   */
  infer(checkpoint: string, pixels: Uint8Array, signal: AbortSignal): Promise<ImageResult> {
    const { promise, resolve, reject } = Promise.withResolvers<ImageResult>();
    const image = { pixels, signal, resolve, reject };
    const queue = this.waiting.get(checkpoint);
    if (queue) queue.push(image);
    else {
      const started = [image];
      this.waiting.set(checkpoint, started);
      this.drain(checkpoint, started);
    }
    return promise;
  }

  /** Never throws. */
  private async drain(checkpoint: string, queue: Waiting[]): Promise<void> {
    while (queue.length > 0) {
      const batch = queue.splice(0, largestBatch).filter((image) => !rejectAborted(image));
      if (batch.length > 0) await this.compute(checkpoint, batch);
    }
    this.waiting.delete(checkpoint);
  }

  private async compute(checkpoint: string, batch: readonly Waiting[]): Promise<void> {
    const pixels = joinImages(batch.map((image) => image.pixels));
    const job = { checkpoint, pixels, images: batch.length };
    try {
      // Of several streams, so no stream's signal stops it; it is short.
      const result = await this.engine.infer(job, new AbortController().signal);
      batch.forEach((image, index) => image.resolve(imageOf(result, index)));
    } catch (error) {
      for (const image of batch) image.reject(error);
    }
  }
}

function rejectAborted({ signal, reject }: Waiting): boolean {
  if (signal.aborted) reject(signal.reason);
  return signal.aborted;
}

/** One row of an engine's answer. */
export function imageOf({ classNames, probabilities }: InferenceResult, index: number): ImageResult {
  const classes = classNames.length;
  return { classNames, probabilities: probabilities.subarray(index * classes, (index + 1) * classes) };
}
