/** Recording, differentiating, planning and running computations on WebGPU. */
export { type AdapterDescription, GpuDevice, ReadBackRing, type ReadBackTicket } from "./device/mod.ts";
export { GpuError, mebibytes, MemoryLimitError, ShapeError } from "./errors.ts";
export { affine, type Coefficient, ONE } from "./graph/coefficient.ts";
export { differentiate } from "./graph/differentiate.ts";
export type { Draw, StepKey } from "./graph/draw.ts";
export { Execution } from "./graph/execution.ts";
export {
  Graph,
  type Initializer,
  type Parameter,
  type ParameterRole,
  type Precision,
  type Variable,
} from "./graph/graph.ts";
export type { Interlude } from "./graph/interlude.ts";
export type { BufferHandle, Target } from "./graph/kernel.ts";
export type { Operation } from "./graph/operation.ts";
export { type Plan, planGraph, planGraphPaced, type PlanOptions } from "./graph/plan.ts";
export {
  BatchGather,
  type BatchInputs,
  type BatchRows,
  residentBytes,
  ResidentImages,
} from "./graph/resident_images.ts";
export { elementCount, formatShape, type Shape, type Tensor } from "./graph/tensor.ts";
export { type NamedValues, Variables } from "./graph/variables.ts";
export { addNoise } from "./ops/add_noise.ts";
export { batchNorm } from "./ops/batch_norm.ts";
export { conv2d } from "./ops/conv2d.ts";
export { decodeImages, type RandomErasing } from "./ops/decode_images.ts";
export { globalAveragePool } from "./ops/global_average_pool.ts";
export { linear } from "./ops/linear.ts";
export { combine, LinearCombination, linearCombination, lmStep, residualAdd } from "./ops/linear_combination.ts";
export { lossScale, scaleGradient } from "./ops/loss_scale.ts";
export { maxPool2d } from "./ops/max_pool2d.ts";
export { averageName, movingAverage } from "./ops/moving_average.ts";
export { PlaceChannels, placeChannels } from "./ops/place_channels.ts";
export { mixupShare } from "./ops/mixup.ts";
export { normals, pcg4d, permutation, PURPOSE, uniforms } from "./ops/random.ts";
export { relu } from "./ops/relu.ts";
export { reversibleStep } from "./ops/reversible_step.ts";
export { decayScales, sgd } from "./ops/sgd.ts";
export { IGNORED_LABEL, softmax, softmaxCrossEntropy } from "./ops/softmax_cross_entropy.ts";
export { Tuner, type TuningProgress } from "./tune/mod.ts";
export { encodeStep, STEP_BYTES } from "./ops/step.ts";
