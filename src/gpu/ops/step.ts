/** The scalars that change from step to step: one small uniform buffer, written before each. */

export const STEP_BYTES = 16;

export interface StepScalars {
  readonly learningRate: number;
  /** The low 32 bits key the random draws. */
  readonly seed: number;
  readonly epoch: number;
}

/** The bytes of the WGSL struct `Step`. */
export function encodeStep({ learningRate, seed, epoch }: StepScalars): ArrayBuffer {
  const bytes = new ArrayBuffer(STEP_BYTES);
  new Float32Array(bytes, 0, 1)[0] = learningRate;
  new Uint32Array(bytes, 4, 2).set([seed >>> 0, epoch]);
  return bytes;
}
