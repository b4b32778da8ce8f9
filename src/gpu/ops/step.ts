/** The scalars that change from step to step: one small uniform buffer, written before each. */

export const STEP_BYTES = 32;

export interface StepScalars {
  readonly learningRate: number;
  /** The low 32 bits key the random draws. */
  readonly seed: number;
  readonly epoch: number;
  /** What an image gets of its partner by mixup, 0 to 1; default 0. */
  readonly mixupShare?: number;
}

/** The bytes of the WGSL struct `Step`, whose gradient factor is 1. */
export function encodeStep({ learningRate, seed, epoch, mixupShare = 0 }: StepScalars): ArrayBuffer {
  const bytes = new ArrayBuffer(STEP_BYTES);
  const floats = new Float32Array(bytes);
  [floats[0], floats[3], floats[4]] = [learningRate, 1, mixupShare];
  new Uint32Array(bytes, 4, 2).set([seed >>> 0, epoch]);
  return bytes;
}
