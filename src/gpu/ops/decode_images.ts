/**
 * `u8` images to normalised floats, with a random crop of the zero-padded image and a random mirror (He et al. 2016,
 * section 4.2), cutout, random erasing and mixup. The draws depend on (seed, epoch, example) alone, so an example is
 * augmented alike in any batch; mixup's share is the step's.
 */
import { wgsl, withElements } from "../../wgsl/mod.ts";
import { ShapeError } from "../errors.ts";
import type { Graph } from "../graph/graph.ts";
import type { BufferHandle, Kernel } from "../graph/kernel.ts";
import type { Lowering, Operation } from "../graph/operation.ts";
import { imageShape, type Tensor } from "../graph/tensor.ts";
import { PURPOSE } from "./random.ts";

/** A rectangle of a part of the images is filled (Zhong et al. 2020). */
export interface RandomErasing {
  /** Of an image; above 0, at most 1. */
  readonly probability: number;
  /** `zero`: after normalisation, which is the mean; `noise`: random bytes before it. */
  readonly fill: "zero" | "noise";
}

export interface DecodeImagesOptions {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  /** 1 or 3. */
  readonly channels: number;
  /** A channel's, of values scaled to 0..1. */
  readonly mean: readonly number[];
  readonly standardDeviation: readonly number[];
  /** Pixels of zeros on each side before the random crop; 0: none. */
  readonly cropPadding: number;
  readonly horizontalFlip: boolean;
  /** The side of cutout's square in pixels; default 0: none. */
  readonly cutoutSize?: number;
  readonly randomErasing?: RandomErasing;
  /** Whether images are blended in the step's share, see mixup.ts; default false. */
  readonly mixup?: boolean;
  /** N x H x W x C bytes. */
  readonly pixels: BufferHandle;
  /** N `u32`: the examples' indices in their data set. */
  readonly examples: BufferHandle;
  readonly step: BufferHandle;
}

/**
 * [N, H, W, C] normalised images.
 * @throws {ShapeError} when channels are not 1 or 3, or mean and deviation do not match them.
 */
export function decodeImages(graph: Graph, options: DecodeImagesOptions): Tensor {
  const { batch, height, width, channels, mean, standardDeviation } = options;
  if (channels !== 1 && channels !== 3) {
    throw new ShapeError("decode_images", `channels must be 1 or 3, got ${channels}`);
  }
  if (mean.length !== channels || standardDeviation.length !== channels) {
    throw new ShapeError("decode_images", `mean and standard deviation must have ${channels} values`);
  }
  const y = graph.value("images", [batch, height, width, channels], false);
  graph.record(new DecodeImages(options, y));
  return y;
}

class DecodeImages implements Operation {
  readonly kind = "decode_images";
  readonly description = "decode, augment, normalise";
  readonly inputs = [];
  readonly parameters = [];
  readonly outputs: readonly Tensor[];

  constructor(readonly options: DecodeImagesOptions, y: Tensor) {
    this.outputs = [y];
  }

  lower(memory: Lowering): Kernel[] {
    const image = memory.image(this.outputs[0]);
    const { pixels, examples, step, mean, standardDeviation, cropPadding, horizontalFlip } = this.options;
    const { cutoutSize = 0, randomErasing, mixup = false } = this.options;
    const { batch, height, width, channels } = imageShape(this.outputs[0]);
    return [{
      label: this.kind,
      code: withElements(wgsl.decodeImages, image.elementType),
      constants: {
        BATCH: batch,
        HEIGHT: height,
        WIDTH: width,
        CHANNELS: channels,
        HALO: image.halo,
        PADDING: cropPadding,
        MIRROR: horizontalFlip ? 1 : 0,
        CUTOUT: cutoutSize,
        ERASING: Math.round((randomErasing?.probability ?? 0) * 2 ** 31),
        ERASING_NOISE: randomErasing?.fill === "noise" ? 1 : 0,
        MIXUP: mixup ? 1 : 0,
        PURPOSE: PURPOSE.augmentation,
        CUTOUT_PURPOSE: PURPOSE.cutout,
        ERASING_PURPOSE: PURPOSE.erasing,
        NOISE_PURPOSE: PURPOSE.erasingNoise,
        ...Object.fromEntries([0, 1, 2].map((c) => [`MEAN_${c}`, mean[c] ?? 0])),
        ...Object.fromEntries([0, 1, 2].map((c) => [`DEVIATION_${c}`, standardDeviation[c] ?? 1])),
      },
      bindings: [
        { buffer: pixels, access: "read" },
        { buffer: examples, access: "read" },
        { buffer: step, access: "uniform" },
        { buffer: image.buffer, access: "read_write" },
      ],
      workgroups: [Math.ceil(height * width / 64), batch, 1],
    }];
  }
}
