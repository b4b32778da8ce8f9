import { elementCount, Graph, type Shape, type Tensor, type Variable } from "../gpu/mod.ts";
import type { NetworkVariables } from "./checkpoints/state_dict.ts";
import { ModelError } from "./errors.ts";
import { recordResidualNetwork } from "./networks/residual_network.ts";
import { findNetwork, type RunChoices } from "./networks/zoo.ts";
import type { ModelSpec } from "./spec.ts";

const MAX_IMAGE_SIDE = 4096;
const MAX_CLASSES = 100_000;

export interface NetworkOptions extends RunChoices {
  readonly classes: number;
}

/**
 * Records a network on images of [N, H, W, C]; returns logits of [N, classes].
 * @throws {ModelError} for an unknown name, choices that it does not have.
 */
export function buildNetwork(graph: Graph, spec: ModelSpec, images: Tensor, options: NetworkOptions): Tensor {
  return recordResidualNetwork(graph, findNetwork(spec, options), images, options.classes);
}

export interface InputShape {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

export interface LayerDescription {
  readonly name: string;
  readonly kind: string;
  /** Without the batch. */
  readonly outputShape: Shape;
  readonly parameters: number;
  readonly multiplyAdds: number;
}

export interface ModelDescription {
  readonly name: string;
  readonly scheme: string;
  readonly input: InputShape;
  readonly classes: number;
  /** Trainable scalars. */
  readonly parameters: number;
  /** Of one image's forward pass: convolutions and linear layers. */
  readonly multiplyAdds: number;
  readonly layers: readonly LayerDescription[];
}

/**
 * What a network is made of, read off its recording: nothing here is computed by formula.
 * @throws {ModelError} for an unknown name or sizes out of range.
 */
export function describeModel(spec: ModelSpec, input: InputShape, classes: number): ModelDescription {
  const { graph, network } = recordForInference(spec, input, classes);
  const counted = new Set<Tensor>();
  const layers = graph.operations.map((operation) => {
    // Weights that a scheme uses several times are counted where they are used first.
    const own = operation.parameters.filter((parameter) => !counted.has(parameter));
    own.forEach((parameter) => counted.add(parameter));
    return {
      name: operation.outputs[0].name,
      kind: operation.description,
      outputShape: operation.outputs[0].shape.slice(1),
      parameters: own.reduce((sum, { shape }) => sum + elementCount(shape), 0),
      multiplyAdds: operation.multiplyAdds ?? 0,
    };
  });
  return {
    name: spec.name,
    scheme: network.scheme.name,
    input,
    classes,
    parameters: graph.parameterCount,
    multiplyAdds: layers.reduce((sum, layer) => sum + layer.multiplyAdds, 0),
    layers,
  };
}

/**
 * What a network stores.
 * @throws {ModelError} as describeModel().
 */
export function networkVariables(spec: ModelSpec, input: InputShape, classes: number): NetworkVariables {
  const { parameters, states } = recordForInference(spec, input, classes).graph;
  const shapes = (variables: readonly Variable[]) =>
    new Map(variables.map(({ tensor }) => [tensor.name, tensor.shape]));
  return { parameters: shapes(parameters), states: shapes(states) };
}

/** Records a network on one image. @throws {ModelError} for an unknown name or sizes out of range. */
function recordForInference(spec: ModelSpec, input: InputShape, classes: number) {
  requireRange("height", input.height, MAX_IMAGE_SIDE);
  requireRange("width", input.width, MAX_IMAGE_SIDE);
  requireRange("channels", input.channels, MAX_IMAGE_SIDE);
  requireRange("classes", classes, MAX_CLASSES);
  const network = findNetwork(spec);
  const graph = new Graph({ training: false });
  const images = graph.source("images", [1, input.height, input.width, input.channels]);
  recordResidualNetwork(graph, network, images, classes);
  return { graph, network };
}

function requireRange(what: string, value: number, most: number): void {
  if (!Number.isInteger(value) || value < 1 || value > most) {
    throw new ModelError(`Cannot build a network with ${what} ${value}: it must be an integer from 1 to ${most}`);
  }
}
