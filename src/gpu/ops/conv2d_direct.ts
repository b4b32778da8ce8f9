/** Convolutions whose groups do not fill channel quads: plain loops, one channel at a time. */
import { channelQuads, wgsl, withElements } from "../../wgsl/mod.ts";
import type { ImageBuffer, Kernel, ParameterRange } from "../graph/kernel.ts";
import { type Conv2dProblem, parameterBinding } from "./conv2d_problem.ts";

export interface DirectParts {
  readonly problem: Conv2dProblem;
  readonly read: ImageBuffer;
  readonly weight: ParameterRange;
  readonly write: ImageBuffer;
}

export function directKernel(label: string, code: string, parts: DirectParts, domain: ImageBuffer): Kernel {
  const { problem, read, weight, write } = parts;
  const forward = code === wgsl.conv2dDirect;
  const [inputHalo, outputHalo] = forward ? [read.halo, write.halo] : [write.halo, read.halo];
  return {
    label,
    code: withElements(code, read.elementType),
    constants: directConstants(problem, inputHalo, outputHalo),
    bindings: [
      { buffer: read.buffer, access: "read" },
      parameterBinding(weight, "read"),
      { buffer: write.buffer, access: "read_write" },
    ],
    workgroups: [Math.ceil(domain.height * domain.width * channelQuads(domain) / 16), problem.batch, 1],
  };
}

function directConstants(problem: Conv2dProblem, inputHalo: number, outputHalo: number): Record<string, number> {
  return {
    IN: problem.inputChannels,
    OUT: problem.outputChannels,
    GROUPS: problem.groups,
    KERNEL_HEIGHT: problem.kernelHeight,
    KERNEL_WIDTH: problem.kernelWidth,
    STRIDE: problem.stride,
    PADDING: problem.padding,
    IN_HEIGHT: problem.inputHeight,
    IN_WIDTH: problem.inputWidth,
    IN_HALO: inputHalo,
    OUT_HEIGHT: problem.outputHeight,
    OUT_WIDTH: problem.outputWidth,
    OUT_HALO: outputHalo,
  };
}

/** dw of x and dy, one weight an invocation. */
export function directWeightGradientKernel(
  problem: Conv2dProblem,
  io: { readonly input: ImageBuffer; readonly dOutput: ImageBuffer; readonly dWeight: ParameterRange },
): Kernel {
  const { input, dOutput, dWeight } = io;
  return {
    label: "conv2d_backward_weight direct",
    code: withElements(wgsl.conv2dDirectBackwardWeight, input.elementType),
    constants: { BATCH: problem.batch, ...directConstants(problem, input.halo, dOutput.halo) },
    bindings: [
      { buffer: input.buffer, access: "read" },
      { buffer: dOutput.buffer, access: "read" },
      parameterBinding(dWeight, "read_write"),
    ],
    workgroups: [Math.ceil(dWeight.length / 16), 1, 1],
  };
}
