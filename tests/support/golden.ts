/** The fixtures that `tests/golden/make.py` makes with PyTorch; it says what they hold. */
import { assert } from "@std/assert";
import { readSafetensors, type SafetensorsFile } from "../../src/models/checkpoints/safetensors.ts";

export interface GoldenTensor {
  readonly shape: readonly number[];
  /** Row-major, whatever the type in the file. */
  readonly data: Float64Array;
}

export class Golden {
  readonly #file: SafetensorsFile;
  /** JSON: versions, and what the tensors do not say. */
  readonly about: Readonly<Record<string, unknown>>;

  constructor(file: SafetensorsFile) {
    this.#file = file;
    this.about = JSON.parse(file.metadata.about);
  }

  /** As PyTorch has it: images are NCHW, convolution weights OIHW. */
  tensor(name: string): GoldenTensor {
    const tensor = this.#file.tensors[name];
    assert(tensor, `The fixture has no tensor "${name}"`);
    return { shape: tensor.shape, data: Float64Array.from(tensor.data, Number) };
  }

  data(name: string): Float64Array {
    return this.tensor(name).data;
  }

  /** Images turned from NCHW to NHWC. */
  nhwc(name: string): GoldenTensor {
    return nchwToNhwc(this.tensor(name));
  }

  /** The tensors whose names start with `prefix`, by the rest of the name. */
  under(prefix: string): Map<string, GoldenTensor> {
    const names = Object.keys(this.#file.tensors).filter((name) => name.startsWith(prefix));
    return new Map(names.map((name) => [name.slice(prefix.length), this.tensor(name)]));
  }

  /** Of a case in operations.safetensors or optimization.safetensors. */
  options(caseName: string): Readonly<Record<string, number>> {
    const { options } = this.about as { options: Record<string, Record<string, number>> };
    assert(options[caseName], `The fixture has no case "${caseName}"`);
    return options[caseName];
  }

  /** The cases of such a file that are named `operation` or start with `operation_`. */
  cases(operation: string): string[] {
    const { options } = this.about as { options: Record<string, unknown> };
    return Object.keys(options).filter((name) => name === operation || name.startsWith(`${operation}_`));
  }
}

/** The names of the fixtures of networks. */
export const networkNames = ["resnet", "lm_resnet", "resnext", "lm_resnext", "large_lm_resnet", "option_a"] as const;
export const schemeNames = [
  "scheme_linear_multistep",
  "scheme_midpoint",
  "scheme_leapfrog",
  "scheme_momentum",
  "scheme_rk4",
  "scheme_poly_2",
  "scheme_poly_3",
  "scheme_mpoly_2",
  "scheme_two_way",
  "scheme_fractal",
  "scheme_reversible",
] as const;

export type GoldenName =
  | "operations"
  | "blocks"
  | "optimization"
  | "stochastic"
  | "state_dicts"
  | (typeof networkNames)[number]
  | (typeof schemeNames)[number];

export async function loadGolden(name: GoldenName): Promise<Golden> {
  const bytes = await Deno.readFile(new URL(`../golden/${name}.safetensors`, import.meta.url));
  return new Golden(readSafetensors(bytes));
}

/** Moves the second dimension of four to the end. */
export function nchwToNhwc({ shape, data }: GoldenTensor): GoldenTensor {
  const [count, channels, height, width] = shape;
  const pixels = height * width;
  const moved = new Float64Array(data.length);
  for (let n = 0; n < count; n++) {
    for (let c = 0; c < channels; c++) {
      for (let p = 0; p < pixels; p++) {
        moved[(n * pixels + p) * channels + c] = data[(n * channels + c) * pixels + p];
      }
    }
  }
  return { shape: [count, height, width, channels], data: moved };
}

/** ||actual - expected|| / ||expected||; Infinity where lengths differ or `actual` is not finite. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  if (!Number.isFinite(difference)) return Infinity;
  return difference === 0 ? 0 : Math.sqrt(difference / norm);
}

export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { tolerance, what }: { tolerance: number; what: string },
): void {
  const error = relativeError(actual, expected);
  assert(error <= tolerance, `${what} has a relative error of ${error}, allowed are ${tolerance}`);
}
