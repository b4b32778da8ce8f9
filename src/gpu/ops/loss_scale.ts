/**
 * Dynamic loss scaling (Micikevicius et al. 2018, section 3.2), for gradients that are stored as f16: what is small
 * vanishes there, what is past 65504 becomes infinite. So the gradient starts out multiplied by a scale, and the update
 * divides by it. A step whose parameter gradients are not all finite updates nothing and halves the scale; 2,000 good
 * ones in a row double it, as PyTorch's GradScaler does.
 *
 * The scale is state of the network: it lives on the GPU, so that a step waits for nothing, and goes into checkpoints.
 */
import { wgsl } from "../../wgsl/mod.ts";
import type { Graph } from "../graph/graph.ts";
import type { Binding, BufferHandle, Kernel } from "../graph/kernel.ts";
import type { Lowering, Operation } from "../graph/operation.ts";
import { bindableParts } from "../graph/packing.ts";
import { imageShape, type Tensor } from "../graph/tensor.ts";
import { elementwiseKernel } from "./elementwise.ts";
import { STEP_BYTES } from "./step.ts";

const INITIAL_SCALE = 65536;
const GROWTH_INTERVAL = 2000;
/** Of both reductions of the check: gradient quads an invocation reads, and invocations whose findings one reads. */
const QUADS_PER_INVOCATION = 64;
const MAX_INVOCATIONS = 4096;

/** States of one scalar. */
export interface LossScale {
  readonly scale: Tensor;
  /** Steps since the scale last changed. */
  readonly goodSteps: Tensor;
  readonly skippedSteps: Tensor;
}

/** Records the states; after the network's own, whose places in the packed buffer all of its graphs share. */
export function lossScale(graph: Graph): LossScale {
  const state = (name: string, value: number) => graph.state(`optimizer.${name}`, [1], { kind: "constant", value });
  return {
    scale: state("loss_scale", INITIAL_SCALE),
    goodSteps: state("good_steps", 0),
    skippedSteps: state("skipped_steps", 0),
  };
}

/** scale * gradient: where differentiation starts. */
export function scaleGradient(graph: Graph, gradient: Tensor, { scale }: LossScale): Tensor {
  const scaled = graph.value(`scaled ${gradient.name}`, gradient.shape, false);
  graph.record(new ScaledGradient(gradient, scaled, scale));
  return scaled;
}

class ScaledGradient implements Operation {
  readonly kind = "scale_gradient";
  readonly description = "scale by the loss scale";
  readonly inputs: readonly Tensor[];
  readonly parameters = [];
  readonly outputs: readonly Tensor[];

  constructor(gradient: Tensor, scaled: Tensor, readonly scale: Tensor) {
    this.inputs = [gradient];
    this.outputs = [scaled];
  }

  lower(memory: Lowering): Kernel[] {
    const [gradient, scaled] = [this.inputs[0], this.outputs[0]];
    const { buffer, offset } = memory.state(this.scale);
    return [elementwiseKernel({
      target: memory.target,
      label: this.kind,
      title: "output = scale x0",
      batch: imageShape(scaled).batch,
      inputs: [memory.image(gradient)],
      output: memory.image(scaled),
      extra: [{
        declaration: "var<uniform> scale: vec4<f32>;",
        binding: { buffer, offset, size: 16, access: "uniform" },
      }],
      expression: "scale.x * x0",
    })];
  }
}

/**
 * Kernels that look for what is not finite among all parameter gradients and move the scale.
 * @param step The step's scalars.
 * @returns Those scalars with the factor that undoes the scale, or that skips the update; alive within the operation.
 */
export function checkGradients(
  memory: Lowering,
  { scale, goodSteps, skippedSteps }: LossScale,
  step: BufferHandle,
): { readonly kernels: readonly Kernel[]; readonly step: BufferHandle } {
  const { gradients } = memory.variables;
  const parts = bindableParts(gradients.bytes, memory.target.maxStorageBindingBytes);
  const invocations = Math.min(MAX_INVOCATIONS, Math.ceil(parts[0].size / 16 / QUADS_PER_INVOCATION));
  const flags = memory.scratch("non-finite gradients", parts.length * invocations * 4);
  const checked = memory.scratch("checked step", STEP_BYTES);
  const state = (tensor: Tensor): Binding => {
    const { buffer, offset } = memory.state(tensor);
    return { buffer, offset, size: 4, access: "read_write" };
  };
  const kernels: Kernel[] = [
    ...parts.map((part, index): Kernel => ({
      label: "loss_scale find",
      code: wgsl.findNonFinite,
      constants: { QUADS: part.size / 16, INVOCATIONS: invocations, FIRST: index * invocations },
      bindings: [{ buffer: gradients, ...part, access: "read" }, { buffer: flags, access: "read_write" }],
      workgroups: [Math.ceil(invocations / 64), 1, 1],
    })),
    {
      label: "loss_scale update",
      code: wgsl.lossScale,
      constants: { FLAGS: parts.length * invocations, GROWTH_INTERVAL },
      bindings: [
        { buffer: flags, access: "read" },
        { buffer: step, access: "uniform" },
        state(scale),
        state(goodSteps),
        state(skippedSteps),
        { buffer: checked, access: "read_write" },
      ],
      workgroups: [1, 1, 1],
    },
  ];
  return { kernels, step: checked };
}
