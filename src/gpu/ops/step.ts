/** The scalars that change from step to step: one small uniform buffer, written before each. */

export const STEP_BYTES = 16;

export interface StepScalars {
  readonly learningRate: number;
  /** The low 32 bits key the random draws. */
  readonly seed: number;
  readonly epoch: number;
}

/** The bytes of the WGSL struct `Step`, whose gradient factor is 1. */
export function encodeStep({ learningRate, seed, epoch }: StepScalars): ArrayBuffer {
  const bytes = new ArrayBuffer(STEP_BYTES);
  const floats = new Float32Array(bytes);
  [floats[0], floats[3]] = [learningRate, 1];
  new Uint32Array(bytes, 4, 2).set([seed >>> 0, epoch]);
  return bytes;
}
