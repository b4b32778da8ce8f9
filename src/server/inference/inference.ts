/** Images in, class probabilities out. */
import type { CheckpointDescription, Engine } from "../../engine/mod.ts";
import { untilAborted } from "../abort.ts";
import type { ReceivedImage, Source } from "../validation/inference.ts";
import { imageOf, type ImageResult, InferenceBatcher } from "./batcher.ts";
import { inputSize, joinImages, toInput, toNamedInput } from "./images.ts";
import type { WeightsFinder } from "./weights.ts";

/** Checkpoints whose description is kept. */
const keptDescriptions = 32;

export class Inference {
  private readonly batcher: InferenceBatcher;
  /** By path, oldest first; a checkpoint file never changes. */
  private readonly descriptions = new Map<string, Promise<CheckpointDescription>>();

  constructor(private readonly engine: Engine, private readonly weights: WeightsFinder) {
    this.batcher = new InferenceBatcher(engine);
  }

  /**
   * Several images as one batch.
   * @returns in the order of the images
   * @throws {RequestError} no such weights. {ImageError} {EngineError}
   */
  async infer(source: Source, images: readonly ReceivedImage[], signal: AbortSignal): Promise<ImageResult[]> {
    const checkpoint = await this.weights.find(source);
    const size = inputSize(await this.describe(checkpoint, signal));
    const inputs = await Promise.all(images.map((image, index) => toNamedInput(image, size, `images[${index}]`)));
    const job = { checkpoint, pixels: joinImages(inputs), images: images.length };
    const result = await this.engine.infer(job, signal);
    return images.map((_, index) => imageOf(result, index));
  }

  /**
   * One image of a stream, computed together with those of other calls.
   * @throws as `infer()`
   */
  async inferOne(source: Source, image: ReceivedImage, signal: AbortSignal): Promise<ImageResult> {
    const checkpoint = await this.weights.find(source);
    const size = inputSize(await this.describe(checkpoint, signal));
    return await this.batcher.infer(checkpoint, await toInput(image, size), signal);
  }

  private describe(checkpoint: string, signal: AbortSignal): Promise<CheckpointDescription> {
    let description = this.descriptions.get(checkpoint);
    if (!description) {
      // Shared by calls, so no call's signal ends it.
      description = this.engine.describeCheckpoint(checkpoint, new AbortController().signal);
      description.catch(() => this.descriptions.delete(checkpoint));
      this.descriptions.set(checkpoint, description);
      for (const oldest of this.descriptions.keys()) {
        if (this.descriptions.size <= keptDescriptions) break;
        this.descriptions.delete(oldest);
      }
    }
    return untilAborted(description, signal);
  }
}
