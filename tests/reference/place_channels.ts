/** Channels of an NHWC image put among others, of every stride-th pixel. */

export interface Placement {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly inputChannels: number;
  readonly channels: number;
  readonly offset: number;
  readonly stride: number;
}

export function placeChannels(placement: Placement, input: ArrayLike<number>): Float64Array {
  const output = new Float64Array(outputLength(placement));
  forEachPlaced(placement, (from, to) => output[to] = input[from]);
  return output;
}

/** What went nowhere has gradient 0. */
export function placeChannelsBackward(placement: Placement, dOutput: ArrayLike<number>): Float64Array {
  const { batch, height, width, inputChannels } = placement;
  const dInput = new Float64Array(batch * height * width * inputChannels);
  forEachPlaced(placement, (from, to) => dInput[from] = dOutput[to]);
  return dInput;
}

function outputLength({ batch, height, width, channels, stride }: Placement): number {
  return batch * Math.ceil(height / stride) * Math.ceil(width / stride) * channels;
}

function forEachPlaced(placement: Placement, visit: (from: number, to: number) => void): void {
  const { height, width, inputChannels, channels, offset, stride } = placement;
  const [outputHeight, outputWidth] = [Math.ceil(height / stride), Math.ceil(width / stride)];
  for (let to = 0; to < outputLength(placement); to++) {
    const pixel = Math.floor(to / channels);
    const c = to % channels - offset;
    const w = pixel % outputWidth * stride;
    const h = Math.floor(pixel / outputWidth) % outputHeight * stride;
    const n = Math.floor(pixel / outputWidth / outputHeight);
    if (c >= 0 && c < inputChannels) visit(((n * height + h) * width + w) * inputChannels + c, to);
  }
}
