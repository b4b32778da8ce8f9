/**
 * One axis (height or width) of a stencil: which source positions and which kernel taps make each output.
 *
 * A convolution and the gradient of its input are the same computation seen from two sides,
 *
 *   destination[i] = sum over taps of source[position(i, tap)] * weight[tap],
 *
 * and differ only in the pairs (tap, position) of an output, so one kernel generator serves both. Outputs are
 * made in tiles; the pairs are the same in every tile, with positions counted from the tile's window.
 */
export interface StencilAxis {
  /** Outputs along the axis; the last tile may hang over. */
  readonly outputs: number;
  /** Outputs of one tile. */
  readonly tile: number;
  /** Source position of the first tile's window; negative where it begins in the halo. */
  readonly sourceStart: number;
  /** Source positions from one tile's window to the next. */
  readonly sourceStep: number;
  /** For each output of a tile, what it reads; empty where no tap reaches it. */
  readonly reads: readonly (readonly TapRead[])[];
  /** Kernel positions along the axis. */
  readonly taps: number;
  /** Tap t stands for kernel position taps - 1 - t, not t. */
  readonly flipped: boolean;
}

export interface TapRead {
  readonly tap: number;
  /** Source position within the tile's window. */
  readonly position: number;
}

interface AxisGeometry {
  readonly outputs: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
  readonly tile: number;
}

/** The axis of a forward convolution: output i reads position i * stride + tap - padding. */
export function forwardAxis({ outputs, kernel, stride, padding, tile }: AxisGeometry): StencilAxis {
  const reads = range(tile).map((output) => range(kernel).map((tap) => ({ tap, position: output * stride + tap })));
  return { outputs, tile, sourceStart: -padding, sourceStep: tile * stride, reads, taps: kernel, flipped: false };
}

/**
 * The axis of the input's gradient: input position i gets dOutput[(i + padding - k) / stride] for every kernel
 * position k that makes this whole. With a stride, neighbouring positions see different taps, so a tile is made
 * of whole strides; positions that no tap reaches read nothing and become zero.
 *
 * @throws RangeError if the tile is not a multiple of the stride
 */
export function transposedAxis({ outputs, kernel, stride, padding, tile }: AxisGeometry): StencilAxis {
  if (tile % stride !== 0) throw new RangeError(`Cannot use a tile of ${tile}: it must be a multiple of ${stride}`);
  const pairs = range(tile).map((output) =>
    range(kernel)
      .map((tap) => ({ tap, numerator: output + padding - (kernel - 1 - tap) }))
      .filter(({ numerator }) => numerator % stride === 0)
      .map(({ tap, numerator }) => ({ tap, position: numerator / stride }))
  );
  const positions = pairs.flat().map(({ position }) => position);
  const sourceStart = positions.length ? Math.min(...positions) : 0;
  const reads = pairs.map((list) => list.map(({ tap, position }) => ({ tap, position: position - sourceStart })));
  return { outputs, tile, sourceStart, sourceStep: tile / stride, reads, taps: kernel, flipped: true };
}

/** How many source positions beyond the first and last of `sources` the outputs read. */
export function axisHalo(axis: StencilAxis, sources: number): number {
  let halo = 0;
  for (let output = 0; output < axis.outputs; output++) {
    const start = axis.sourceStart + Math.floor(output / axis.tile) * axis.sourceStep;
    for (const { position } of axis.reads[output % axis.tile]) {
      halo = Math.max(halo, -(start + position), start + position - (sources - 1));
    }
  }
  return halo;
}

/**
 * Whether the taps can be looped over: every output i reads exactly the positions i * step + tap.
 * Gives that step, or undefined.
 */
export function rollingStep(axis: StencilAxis): number | undefined {
  const step = axis.reads.length > 1 ? axis.reads[1][0]?.position : 1;
  if (step === undefined) return undefined;
  const rolls = axis.reads.every((list, output) =>
    list.length === axis.taps && list.every(({ tap, position }, at) => tap === at && position === output * step + tap)
  );
  return rolls ? step : undefined;
}

export function tileCount(axis: StencilAxis): number {
  return Math.ceil(axis.outputs / axis.tile);
}

export function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
