/** Images in, class probabilities out. */
import type { CheckpointDescription, Engine } from "../../engine/mod.ts";
import { untilAborted } from "../abort.ts";
import type { ReceivedImage, Source } from "../validation/inference.ts";
import { type ImageResult, InferenceBatcher, type InferenceLimits } from "./batcher.ts";
import { networkInput, toInput, toNamedInput } from "./images.ts";
import type { WeightsFinder } from "./weights.ts";

/** Checkpoints whose description is kept. */
const keptDescriptions = 32;

export class Inference {
  private readonly batcher: InferenceBatcher;
  /** Of runs' checkpoints, which never change, by path; oldest first. */
  private readonly descriptions = new Map<string, Promise<CheckpointDescription>>();

  constructor(private readonly engine: Engine, private readonly weights: WeightsFinder, limits: InferenceLimits) {
    this.batcher = new InferenceBatcher(engine, limits);
  }

  /**
   * The images of one call, computed together with those of other calls.
   * @returns in the order of the images
   * @throws {RequestError} no such weights, or too many images wait. {ImageError} {EngineError}
   */
  async infer(source: Source, images: readonly ReceivedImage[], signal: AbortSignal): Promise<ImageResult[]> {
    return await this.weights.use(source, async (checkpoint) => {
      const input = networkInput(await this.describe(source, checkpoint, signal));
      const inputs = await Promise.all(images.map((image, index) => toNamedInput(image, input, `images[${index}]`)));
      return await this.batcher.infer(checkpoint, inputs, signal);
    });
  }

  /**
   * One image of a stream, computed together with those of other calls.
   * @throws as `infer()`
   */
  async inferOne(source: Source, image: ReceivedImage, signal: AbortSignal): Promise<ImageResult> {
    return await this.weights.use(source, async (checkpoint) => {
      const input = networkInput(await this.describe(source, checkpoint, signal));
      const [result] = await this.batcher.infer(checkpoint, [await toInput(image, input)], signal);
      return result;
    });
  }

  /** @param source What the checkpoint was given for: a path of a user's own may have another file by now. */
  private describe(source: Source, checkpoint: string, signal: AbortSignal): Promise<CheckpointDescription> {
    if (source.kind === "checkpoint") return this.engine.describeCheckpoint(checkpoint, signal);
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
