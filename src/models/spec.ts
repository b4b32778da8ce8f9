/** How a multi-step network passes a change of shape; see schemes/linear_multistep.ts. */
export type Transition = "plain" | "project_both";

/** A network by name, and the choices that the name leaves open. */
export interface ModelSpec {
  /** "lm-resnet-20", "resnext-29-8x64d", ... */
  readonly name: string;
  /** Default: the family's own. */
  readonly transition?: Transition;
}
