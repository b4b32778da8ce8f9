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
}
