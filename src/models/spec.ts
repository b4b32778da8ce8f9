import type { Activation } from "./blocks/block.ts";
import type { Shortcut } from "./blocks/shortcut.ts";
import type { SchemeName } from "./schemes/registry.ts";

/** How a multi-step network passes a change of shape; see schemes/linear_multistep.ts. */
export type Transition = "plain" | "project_both";

/** A network by name, and the choices that the name leaves open; what is left out is the family's own. */
export interface ModelSpec {
  /** "lm-resnet-20", "resnext-29-8x64d", ... */
  readonly name: string;
  /** For schemes named in the model's name ("lm-", "polynet-", "revnet-", "fractalnet-") only that one. */
  readonly scheme?: SchemeName;
  /** For the linear multi-step scheme. */
  readonly transition?: Transition;
  /** Whether each channel has a k of its own, for the linear multi-step scheme; default false. */
  readonly perChannelCoefficients?: boolean;
  /** From 1 to 4, for the fractal scheme; default 2. */
  readonly columns?: number;
  readonly activation?: Activation;
  readonly shortcut?: Shortcut;
  /** A network outside the zoo, which `name` then names. */
  readonly network?: NetworkSpec;
}

/** A network by its stages; after them come average pooling and a linear layer. */
export interface NetworkSpec {
  readonly stem: "small" | "large";
  readonly stemChannels: number;
  readonly stages: readonly StageSpec[];
}

/** Blocks of one kind and shape. */
export interface StageSpec {
  readonly block: "basic" | "bottleneck";
  readonly blocks: number;
  /** Of the stage's results. */
  readonly channels: number;
  /** Of the first block; default 1 in the first stage, else 2. */
  readonly stride?: number;
  /** Of a bottleneck's 3x3 convolution; default a quarter of `channels`. */
  readonly innerChannels?: number;
  /** Of a bottleneck's 3x3 convolution. */
  readonly groups: number;
}
