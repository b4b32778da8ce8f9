/**
 * u' = sum of (constant + slope * k) * x: the residual add, the linear
 * multi-step step, the stages of other schemes, and every sum of gradients. k
 * is one number, or one a channel. A factor may be times a draw of the step.
 *
 * A term that was recorded under a gate is left out where the gate is closed:
 * selected, not multiplied by 0, because its buffer then holds anything.
 *
 * Gradients, for a term c(k) x with cotangent g: dx = c(k) g, and
 * dk = slope <g, x>, the sum over the pixels alone where k is one a channel. dx is handed on as a coefficient and joins the next sum,
 * so it costs no pass of its own.
 */
import { wgsl, withElements } from "../../wgsl/mod.ts";
import { affine, type Coefficient, isOne, ONE } from "../graph/coefficient.ts";
import type { Draw } from "../graph/draw.ts";
import type { Graph } from "../graph/graph.ts";
import type { Binding, Kernel } from "../graph/kernel.ts";
import type { Backward, Lowering, Operation } from "../graph/operation.ts";
import { formatShape, imageShape, quads, sameShape, type Tensor } from "../graph/tensor.ts";
import { ShapeError } from "../errors.ts";
import { type EpilogueOperation, fuseIntoConv2d } from "./conv2d.ts";
import type { BoundEpilogue } from "./conv2d_problem.ts";
import { channelVectors, elementwiseKernel } from "./elementwise.ts";
import { GatedFusion } from "./gated_fusion.ts";
import { rowSlices } from "./row_slices.ts";

export interface Term {
  readonly tensor: Tensor;
  readonly coefficient: Coefficient;
}

/**
 * sum of coefficient * tensor, all of one shape.
 * @throws {ShapeError} when shapes differ.
 */
export function linearCombination(graph: Graph, name: string, terms: readonly Term[]): Tensor {
  const { shape } = terms[0].tensor;
  for (const { tensor } of terms) {
    if (!sameShape(tensor.shape, shape)) {
      throw new ShapeError("a sum", `shapes ${formatShape(shape)} and ${formatShape(tensor.shape)} differ`);
    }
  }
  if (terms.some(({ coefficient }) => coefficient.parameter && coefficient.draw)) {
    throw new ShapeError("a sum", "a coefficient cannot be both trained and drawn");
  }
  const needsGradient = terms.some(({ tensor, coefficient }) => tensor.needsGradient || coefficient.parameter);
  const output = graph.value(name, shape, needsGradient);
  graph.record(new LinearCombination(graph, terms.map(withoutCertainFactor), output));
  return output;
}

/** A term that its gate leaves out where a factor of 0 or 1 is 0 needs no factor. */
function withoutCertainFactor({ tensor, coefficient }: Term): Term {
  const { draw, ...factor } = coefficient;
  return { tensor, coefficient: draw?.isBinary && draw === tensor.gate ? factor : coefficient };
}

/** sum of factor * tensor, of factors that are known, times a draw where one is given. */
export function combine(
  graph: Graph,
  name: string,
  terms: readonly (readonly [factor: number, tensor: Tensor, draw?: Draw])[],
): Tensor {
  return linearCombination(
    graph,
    name,
    terms.map(([constant, tensor, draw]) => ({ tensor, coefficient: { constant, slope: 0, draw } })),
  );
}

/** u + f: one step of forward Euler. */
export function residualAdd(graph: Graph, name: string, u: Tensor, f: Tensor): Tensor {
  return combine(graph, name, [[1, u], [1, f]]);
}

/**
 * (1 - k) u + k previous + f, or draw * f: the linear two-step step (Lu et al. 2018, eq. 3), k of shape [1], or [C].
 */
export function lmStep(
  graph: Graph,
  name: string,
  terms: {
    readonly u: Tensor;
    readonly previous: Tensor;
    readonly f: Tensor;
    readonly k: Tensor;
    readonly draw?: Draw;
  },
): Tensor {
  const { u, previous, f, k, draw } = terms;
  return linearCombination(graph, name, [
    { tensor: u, coefficient: affine(1, -1, k) },
    { tensor: previous, coefficient: affine(0, 1, k) },
    { tensor: f, coefficient: { ...ONE, draw } },
  ]);
}

export class LinearCombination implements EpilogueOperation {
  readonly kind = "linear_combination";
  readonly description: string;
  readonly inputs: readonly Tensor[];
  readonly parameters: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly #graph: Graph;
  readonly terms: readonly Term[];
  /** What the sum's factors and choices depend on, each once. */
  readonly #draws: readonly Draw[];

  readonly #open: Draw | undefined;

  /** @param open A gate that is open whenever this sum is formed. */
  constructor(graph: Graph, terms: readonly Term[], output: Tensor, open?: Draw) {
    this.#graph = graph;
    this.#open = open;
    this.terms = terms;
    this.inputs = terms.map(({ tensor }) => tensor);
    this.parameters = [...new Set(terms.flatMap(({ coefficient }) => coefficient.parameter ?? []))];
    this.outputs = [output];
    this.#draws = [...new Set(terms.flatMap((term) => [term.coefficient.draw ?? [], this.#gateOf(term) ?? []].flat()))];
    this.description = this.parameters.length > 0 ? "linear multi-step" : "add";
  }

  lower(memory: Lowering): Kernel[] {
    const [output] = this.outputs;
    return [elementwiseKernel({
      target: memory.target,
      label: this.kind,
      title: `output = ${this.terms.map((_, i) => `v${i} x${i}`).join(" + ")}`,
      batch: imageShape(output).batch,
      inputs: this.inputs.map((tensor) => memory.image(tensor)),
      output: memory.image(output),
      extra: this.#scalars(memory),
      prologue: this.#factors("c").map((value, i) => `let v${i} = ${value};`).join(" "),
      expression: this.#sum(this.terms.map((_, i) => `x${i}`)),
    })];
  }

  fuse(producer: Operation): Operation | undefined {
    if (this.terms.length === 1) return undefined;
    const [{ gate }] = producer.outputs;
    const [output] = this.outputs;
    if (gate === output.gate) return fuseIntoConv2d(producer, this);
    const rest = this.terms.filter(({ tensor }) => tensor.gate !== gate);
    if (!gate || rest.length === 0) return undefined;
    const open = fuseIntoConv2d(producer, new LinearCombination(this.#graph, this.terms, output, gate));
    return open && new GatedFusion(gate, open, new LinearCombination(this.#graph, rest, output));
  }

  epilogue(memory: Lowering, sums: Tensor): BoundEpilogue {
    const images = this.inputs.filter((tensor) => tensor !== sums).map((tensor) => memory.image(tensor));
    const scalars = this.#scalars(memory);
    let image = 0;
    const values = this.inputs.map((tensor) => tensor === sums ? "value" : `e${image++}`);
    return {
      inputs: images,
      declarations: scalars.map(({ declaration }) => declaration),
      bindings: [
        ...images.map(({ buffer }): Binding => ({ buffer, access: "read" })),
        ...scalars.map(({ binding }) => binding),
      ],
      vectors: (c) => this.#factors(c),
      expression: this.#sum(values),
    };
  }

  /** The draw that tells whether a term has a value; undefined: it has one whenever the sum is formed. */
  #gateOf({ tensor: { gate } }: Term): Draw | undefined {
    return gate === this.outputs[0].gate || gate === this.#open ? undefined : gate;
  }

  /** The sum of v0 times the first value and so on, as a WGSL expression; the gates come after the factors. */
  #sum(values: readonly string[]): string {
    const gated = this.terms.filter((term) => this.#gateOf(term));
    return this.terms.map((term, i) => {
      const product = `v${i} * ${values[i]}`;
      if (!this.#gateOf(term)) return product;
      return `select(vec4<f32>(), ${product}, v${this.terms.length + gated.indexOf(term)} != 0.0)`;
    }).join(" + ");
  }

  /** The coefficients of a channel quad as WGSL expressions, and after them the draws that terms are gated by. */
  #factors(quad: string): string[] {
    const factors = this.terms.map(({ coefficient: { constant, slope, parameter, draw } }) => {
      if (draw) return isOne({ constant, slope }) ? this.#drawn(draw) : `${literal(constant)} * ${this.#drawn(draw)}`;
      if (!parameter) return literal(constant);
      const k = `k${this.parameters.indexOf(parameter)}`;
      return `${literal(constant)} + ${literal(slope)} * ${isScalar(parameter) ? `${k}.x` : `${k}[${quad}]`}`;
    });
    return [...factors, ...this.terms.flatMap((term) => this.#gateOf(term) ?? []).map((gate) => this.#drawn(gate))];
  }

  #drawn(draw: Draw): string {
    return `draw${this.#draws.indexOf(draw)}.x`;
  }

  #scalars(memory: Lowering): { readonly declaration: string; readonly binding: Binding }[] {
    return [
      ...this.#parameterScalars(memory),
      ...this.#draws.map(({ buffer, offset }, i) => ({
        declaration: `var<uniform> draw${i}: vec4<f32>;`,
        binding: { buffer, offset, size: 16, access: "uniform" as const },
      })),
    ];
  }

  #parameterScalars(memory: Lowering): { readonly declaration: string; readonly binding: Binding }[] {
    return this.parameters.map((parameter, i) => {
      const { buffer, offset } = memory.parameter(parameter);
      if (!isScalar(parameter)) {
        const image = { buffer, height: 1, width: 1, channels: parameter.shape[0], halo: 0 };
        const { declaration, binding } = channelVectors(`k${i}`, image, 1, memory.target);
        return { declaration, binding: { ...binding, offset } };
      }
      return {
        declaration: `var<uniform> k${i}: vec4<f32>;`,
        binding: { buffer, offset, size: 16, access: "uniform" },
      };
    });
  }

  backward(gradients: Backward): void {
    const dOutput = gradients.dOutput(this.outputs[0]);
    if (!dOutput) return;
    for (const { tensor, coefficient } of this.terms) gradients.accumulate(tensor, dOutput, coefficient);
    for (const parameter of this.parameters) {
      const terms = this.terms.filter(({ coefficient }) => coefficient.parameter === parameter);
      this.#graph.record(new CoefficientGradient(parameter, dOutput, terms));
    }
  }
}

/** dk = sum over the terms of slope <g, x>. */
class CoefficientGradient implements Operation {
  readonly kind = "coefficient_gradient";
  readonly description = "gradient of k";
  readonly inputs: readonly Tensor[];
  readonly parameters: readonly Tensor[];
  readonly parameterGradients: readonly Tensor[];
  readonly outputs = [];

  constructor(parameter: Tensor, readonly dOutput: Tensor, readonly terms: readonly Term[]) {
    if (terms.length > 2) throw new ShapeError("a sum", "at most two terms may share one coefficient's parameter");
    this.parameters = [parameter];
    this.parameterGradients = [parameter];
    this.inputs = [dOutput, ...terms.map(({ tensor }) => tensor)];
  }

  lower(memory: Lowering): Kernel[] {
    const shape = imageShape(this.dOutput);
    const slices = rowSlices(shape, memory.target);
    const c4 = quads(shape.channels);
    const invocations = Math.ceil(slices.SLICES * c4 / 16) * 16;
    const perChannel = !isScalar(this.parameters[0]);
    const partials = memory.scratch("coefficient_gradient partials", invocations * (perChannel ? 16 : 4));
    const [a, b = { tensor: a.tensor, coefficient: { constant: 0, slope: 0 } }] = this.terms;
    const images = [this.dOutput, a.tensor, b.tensor].map((tensor) => memory.image(tensor));
    const gradient = memory.gradient(this.parameters[0]);
    return [{
      label: "coefficient_gradient partials",
      code: withElements(wgsl.coefficientGradient, images[0].elementType),
      constants: {
        C4: c4,
        HEIGHT: shape.height,
        WIDTH: shape.width,
        G_HALO: images[0].halo,
        A_HALO: images[1].halo,
        B_HALO: images[2].halo,
        A_SLOPE: a.coefficient.slope,
        B_SLOPE: b.coefficient.slope,
        PER_CHANNEL: perChannel ? 1 : 0,
        ...slices,
      },
      bindings: [
        ...images.map(({ buffer }) => ({ buffer, access: "read" as const })),
        { buffer: partials, access: "read_write" },
      ],
      workgroups: [invocations / 16, 1, 1],
    }, {
      label: "coefficient_gradient sum",
      ...(perChannel
        ? {
          code: wgsl.sumChannelPartials,
          constants: { CHANNELS: shape.channels, SLICES: slices.SLICES },
          workgroups: [Math.ceil(shape.channels / 16), 1, 1],
        }
        : { code: wgsl.sumPartials, constants: { COUNT: slices.SLICES * c4 }, workgroups: [1, 1, 1] }),
      bindings: [
        { buffer: partials, access: "read" },
        { buffer: gradient.buffer, offset: gradient.offset, size: gradient.length * 4, access: "read_write" },
      ],
    }];
  }
}

/** One number for all channels. */
function isScalar(parameter: Tensor): boolean {
  return parameter.shape[0] === 1;
}

function literal(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : `${value}`;
}
