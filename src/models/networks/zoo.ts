/** The networks by name. */
import { ModelError } from "../errors.ts";
import { MAX_FRACTAL_COLUMNS } from "../schemes/fractal.ts";
import { makeScheme, type SchemeName } from "../schemes/registry.ts";
import type { ModelSpec, NetworkSpec } from "../spec.ts";
import { requireStochastic, type StochasticTraining } from "../stochastic/choices.ts";
import { customLayout } from "./custom.ts";
import { familyPrefix, type NamedNetwork, networkNamed } from "./families.ts";
import type { ResidualNetwork } from "./residual_network.ts";

/** A family of networks, for listings. */
export interface ModelFamily {
  /** "lm-resnet-N" */
  readonly pattern: string;
  readonly description: string;
  readonly scheme: string;
  readonly examples: readonly string[];
}

/** What a run chooses of a network, besides its spec. */
export interface RunChoices {
  readonly stochastic?: StochasticTraining;
}

const FAMILIES: readonly ModelFamily[] = [
  {
    pattern: "resnet-N",
    description: "Pre-activation residual network for small images, N = 6n + 2 layers, 16/32/64 channels; of 9n + 2 " +
      "layers (164, 1001, ...; or N-bottleneck) with bottlenecks. 50, 101 and 152 are ImageNet's, post-activation",
    scheme: "forward Euler",
    examples: ["resnet-20", "resnet-32", "resnet-44", "resnet-56", "resnet-110", "resnet-164", "resnet-50"],
  },
  {
    pattern: "lm-resnet-N",
    description: "The same, all pre-activation, with the linear multi-step step; transition plain unless chosen",
    scheme: "linear multi-step",
    examples: ["lm-resnet-20", "lm-resnet-32", "lm-resnet-44", "lm-resnet-56", "lm-resnet-110", "lm-resnet-164"],
  },
  {
    pattern: "resnext-29-CxWd",
    description: "ResNeXt of 29 layers for small images: C groups of width W, post-activation",
    scheme: "forward Euler",
    examples: ["resnext-29-8x64d", "resnext-29-16x64d"],
  },
  {
    pattern: "lm-resnext-29-CxWd",
    description: "Pre-activation ResNeXt with the linear multi-step step; transition project_both unless chosen",
    scheme: "linear multi-step",
    examples: ["lm-resnext-29-8x64d", "lm-resnext-29-16x64d"],
  },
  {
    pattern: "resnext-50-CxWd",
    description: "ResNeXt for ImageNet, of 50, 101 or 152 layers, post-activation",
    scheme: "forward Euler",
    examples: ["resnext-50-32x4d", "resnext-101-32x8d"],
  },
  {
    pattern: "lm-resnext-50-CxWd",
    description: "The same, pre-activation, with the linear multi-step step; transition plain unless chosen",
    scheme: "linear multi-step",
    examples: ["lm-resnext-50-32x4d"],
  },
  {
    pattern: "polynet-KIND-N",
    description: "resnet-N with PolyNet's modules: KIND is poly2, poly3, mpoly2 or 2way",
    scheme: "poly-2",
    examples: ["polynet-poly2-20"],
  },
  {
    pattern: "revnet-N",
    description: "resnet-N whose blocks step the halves of the channels in turn",
    scheme: "reversible",
    examples: ["revnet-20", "revnet-110"],
  },
  {
    pattern: "fractalnet-N",
    description: "resnet-N whose blocks are fractals of 1 to 4 columns, 2 unless chosen",
    scheme: "fractal of 2 columns",
    examples: ["fractalnet-20"],
  },
];

export function modelFamilies(): readonly ModelFamily[] {
  return FAMILIES;
}

/**
 * Finds a network by its name.
 * @throws {ModelError} for an unknown name or a choice that the network does not have.
 */
export function findNetwork(spec: ModelSpec, choices: RunChoices = {}): ResidualNetwork {
  const named = findNamed(spec);
  const schemeName = chosenScheme(spec, named);
  requireOptionsOf(spec, schemeName);
  const activation = spec.activation ?? named.activation(schemeName);
  if (schemeName === "reversible" && activation === "post") {
    throw new ModelError(
      `Cannot build "${spec.name}" with activation "post": the ReLU after a step is not reversible; choose "pre"`,
    );
  }
  const scheme = makeScheme(schemeName, {
    transition: spec.transition ?? named.transition,
    perChannelCoefficients: spec.perChannelCoefficients ?? false,
    columns: spec.columns ?? 2,
  });
  const { stochastic } = choices;
  if (stochastic) requireStochastic(spec.name, scheme, stochastic);
  const style = { activation, shortcut: spec.shortcut ?? named.shortcut(activation) };
  return { stem: named.layout.stem, activation, scheme, stochastic, stages: named.layout.stages(style) };
}

/**
 * How a network steps.
 * @throws {ModelError} as `findNetwork()`.
 */
export function schemeOfNetwork(spec: ModelSpec): SchemeName {
  return chosenScheme(spec, findNamed(spec));
}

function findNamed(spec: ModelSpec): NamedNetwork {
  const named = spec.network ? described(spec.name, spec.network) : networkNamed(spec.name);
  if (named) return named;
  throw new ModelError(`Cannot find model "${spec.name}": there are ${FAMILIES.map((f) => f.pattern).join(", ")}`);
}

/** A network outside the zoo, with the choices of `resnet-N` where it makes none. */
function described(name: string, network: NetworkSpec): NamedNetwork {
  const prefix = familyPrefix(name);
  if (prefix) {
    throw new ModelError(`Cannot name a described network "${name}": the zoo's names begin with "${prefix}"`);
  }
  return {
    layout: customLayout(network),
    transition: "plain",
    activation: () => "pre",
    shortcut: () => "projection",
  };
}

function chosenScheme({ name, scheme }: ModelSpec, named: NamedNetwork): SchemeName {
  if (named.scheme && scheme && scheme !== named.scheme) {
    throw new ModelError(
      `Cannot use scheme "${scheme}" with "${name}": the name says ${named.scheme}; choose a resnet or resnext`,
    );
  }
  return named.scheme ?? scheme ?? "forward_euler";
}

/** @throws {ModelError} for an option of another scheme. */
function requireOptionsOf({ name, transition, perChannelCoefficients, columns }: ModelSpec, scheme: SchemeName): void {
  if (transition && scheme !== "linear_multistep") {
    throw new ModelError(`Cannot use transition "${transition}" with "${name}": it has no multi-step history`);
  }
  if (perChannelCoefficients && scheme !== "linear_multistep") {
    throw new ModelError(`Cannot use per-channel coefficients with "${name}": it has no multi-step coefficients`);
  }
  if (columns === undefined) return;
  if (scheme !== "fractal") throw new ModelError(`Cannot use ${columns} columns with "${name}": it is no fractal`);
  if (!Number.isInteger(columns) || columns < 1 || columns > MAX_FRACTAL_COLUMNS) {
    throw new ModelError(
      `Cannot build "${name}" with ${columns} columns: it must be an integer from 1 to ${MAX_FRACTAL_COLUMNS}`,
    );
  }
}
