import type { RandomErasing } from "../gpu/mod.ts";

/** What training changes of its images besides cropping and mirroring; what is undefined is not done. */
export interface AugmentationChoices {
  /** Of mixup's Beta(alpha, alpha); above 0. */
  readonly mixupAlpha?: number;
  /** The side of cutout's square, in pixels. */
  readonly cutoutSize?: number;
  readonly randomErasing?: RandomErasing;
}
