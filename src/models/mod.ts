/** The networks: what a block computes, how a scheme steps, which networks there are, how they are stored. */
export {
  analyzeNetwork,
  type BlockStep,
  type LearnedCoefficient,
  type NetworkAnalysis,
} from "./analysis/network_analysis.ts";
export { describeScheme, type SchemeDescription } from "./analysis/scheme_description.ts";
export {
  type BestEvaluation,
  type Checkpoint,
  CHECKPOINT_FORMAT,
  type CheckpointDataset,
  DamagedCheckpointError,
  decodeCheckpoint,
  encodeCheckpoint,
  type NamedTensor,
  trainedWeights,
  type TrainingPosition,
  withoutOptimizer,
} from "./checkpoints/checkpoint.ts";
export type { Activation } from "./blocks/block.ts";
export type { Shortcut } from "./blocks/shortcut.ts";
export { CheckpointError, readSafetensors, writeSafetensors } from "./checkpoints/safetensors.ts";
export {
  classesIn,
  type NetworkVariables,
  type NetworkWeights,
  readStateDict,
  writeStateDict,
} from "./checkpoints/state_dict.ts";
export { ModelError } from "./errors.ts";
export { initialValues } from "./initialization.ts";
export {
  buildNetwork,
  describeModel,
  type InputShape,
  type LayerDescription,
  type ModelDescription,
  type NetworkOptions,
  networkVariables,
} from "./network.ts";
export { modelFamilies, type ModelFamily } from "./networks/zoo.ts";
export { type SchemeName, schemeNames } from "./schemes/registry.ts";
export type {
  DepthRule,
  DropPath,
  DropScaling,
  NoiseInjection,
  NoiseKind,
  StochasticDepth,
  StochasticTraining,
} from "./stochastic/choices.ts";
export type { ModelSpec, NetworkSpec, StageSpec, Transition } from "./spec.ts";
