/** Convolutions in groups of four channels, for software Vulkan: a lane is a group. */
import {
  channelQuads,
  dividingWorkgroup,
  quadGroupSource,
  quadGroupWeightGradientSource,
  wgsl,
} from "../../wgsl/mod.ts";
import type { Candidate, ImageBuffer, Kernel, ParameterRange, ScratchAllocator, Target } from "../graph/kernel.ts";
import { type Conv2dProblem, parameterBinding } from "./conv2d_problem.ts";
import { tapsConvolution, type TapsRequest } from "./conv2d_taps.ts";

/** Multiply-adds of straight-line code: a strip is as wide as they allow. */
const MAX_BODY = 2400;
const MAX_WIDTH = 16;
/** Fewer groups leave lanes idle. */
const MIN_LANES = 8;
const MAX_LANES = 16;
/** Weights that an invocation holds beside its window. */
const MAX_KERNEL_SIZE = 25;

/** None where groups are not of one quad, or too few. */
export function quadGroupCandidates(problem: Conv2dProblem, request: TapsRequest, target: Target): Candidate[] {
  const { rows, columns } = request;
  const lanes = quadGroupLanes(problem, target);
  const taps = rows.taps.length * columns.taps.length;
  if (lanes === undefined || taps === 0) return [];
  const width = stripWidth(columns.count, taps);
  return [{ name: `quad groups 1x${width}`, lower: () => [quadGroupKernel(problem, request, { lanes, width })] }];
}

function quadGroupKernel(
  { batch, kernelHeight, kernelWidth }: Conv2dProblem,
  request: TapsRequest,
  { lanes, width }: { readonly lanes: number; readonly width: number },
): Kernel {
  const { label, read, write, weight, rows, columns, transposed, epilogue } = request;
  const code = quadGroupSource({
    ...tapsConvolution(request),
    kernelTaps: rows.taps.flatMap((_, r) =>
      columns.taps.map((_, s) => (rows.first + r * rows.tapStep) * kernelWidth + columns.first + s * columns.tapStep)
    ),
    kernelSize: kernelHeight * kernelWidth,
    transposed,
    lanes,
    width,
  });
  return {
    label: `${label} ${read.channels}->${write.channels} at ${rows.count}x${columns.count}`,
    code,
    bindings: [
      { buffer: read.buffer, access: "read" },
      parameterBinding(weight, "read"),
      { buffer: write.buffer, access: "read_write" },
      ...(epilogue?.bindings ?? []),
    ],
    workgroups: [channelQuads(read) / lanes, Math.ceil(columns.count / width), batch],
  };
}

/** None where groups are not of one quad, or too few. */
export function quadGroupWeightGradientCandidates(
  problem: Conv2dProblem,
  io: { readonly input: ImageBuffer; readonly dOutput: ImageBuffer; readonly dWeight: ParameterRange },
  target: Target,
): Candidate[] {
  const lanes = quadGroupLanes(problem, target);
  if (lanes === undefined) return [];
  const width = stripWidth(problem.outputWidth, problem.kernelHeight * problem.kernelWidth);
  return [{
    name: `quad groups 1x${width}`,
    lower: (memory) => quadGroupWeightGradientKernels(problem, io, { lanes, width, target, memory }),
  }];
}

function quadGroupWeightGradientKernels(
  problem: Conv2dProblem,
  { input, dOutput, dWeight }: {
    readonly input: ImageBuffer;
    readonly dOutput: ImageBuffer;
    readonly dWeight: ParameterRange;
  },
  { lanes, width, target, memory }: {
    readonly lanes: number;
    readonly width: number;
    readonly target: Target;
    readonly memory: ScratchAllocator;
  },
): Kernel[] {
  const { batch, kernelHeight, kernelWidth, outputWidth, outputHeight, inputChannels, outputChannels } = problem;
  const blocks = channelQuads(input) / lanes;
  const bytes = dWeight.length * 4;
  // The partial sums of all slices are one binding.
  const bindable = Math.max(1, Math.floor(target.maxStorageBindingBytes / bytes));
  const slices = Math.min(batch * Math.ceil(outputWidth / width), bindable, Math.max(2, Math.ceil(32 / blocks)));
  const partials = memory.scratch("conv2d_backward_weight partials", slices * bytes);
  const label = `conv2d_backward_weight ${kernelHeight}x${kernelWidth} ` +
    `${inputChannels}->${outputChannels} at ${outputHeight}x${outputWidth}`;
  return [{
    label,
    code: quadGroupWeightGradientSource({ ...problem, input, dOutput, lanes, width, slices }),
    bindings: [
      { buffer: input.buffer, access: "read" },
      { buffer: dOutput.buffer, access: "read" },
      { buffer: partials, access: "read_write" },
    ],
    workgroups: [blocks, slices, 1],
  }, {
    label: `${label} reduce`,
    code: wgsl.sumSlices,
    constants: { COUNT: dWeight.length / 4, SLICES: slices },
    bindings: [{ buffer: partials, access: "read" }, parameterBinding(dWeight, "read_write")],
    workgroups: [Math.ceil(dWeight.length / 4 / 64), 1, 1],
  }];
}

/** Lanes of a workgroup; undefined where this form does not serve. */
function quadGroupLanes(problem: Conv2dProblem, target: Target): number | undefined {
  const { groups, inputChannels, outputChannels, kernelHeight, kernelWidth, batch } = problem;
  const lanes = dividingWorkgroup(groups, MAX_LANES);
  const serves = target.software && inputChannels === groups * 4 && outputChannels === groups * 4 &&
    lanes >= MIN_LANES && kernelHeight * kernelWidth <= MAX_KERNEL_SIZE && batch <= target.maxWorkgroupsPerDimension;
  return serves ? lanes : undefined;
}

/** The widest strip that divides the columns; where none of half the limit does, the limit. */
function stripWidth(columns: number, taps: number): number {
  const limit = Math.max(1, Math.min(columns, MAX_WIDTH, Math.floor(MAX_BODY / (16 * taps))));
  for (let width = limit; width * 2 > limit; width--) {
    if (columns % width === 0) return width;
  }
  return limit;
}
