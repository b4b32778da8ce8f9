/** Choices of the update and of the learning rate, and what is meant where a configuration makes none. */
import type { ParameterRole } from "../gpu/mod.ts";

/**
 * How the learning rate goes on after the warm-up:
 *
 * - `steps`: multiplied by a factor at milestones
 * - `cosine`: half a cosine down to the final rate (Loshchilov & Hutter 2017, equation 5, without restarts)
 * - `linear`: a straight line down to the final rate
 * - `constant`
 */
export type ScheduleKind = "steps" | "cosine" | "linear" | "constant";

/** A field that is absent means its default: so configurations older than the field mean what they meant. */
export interface OptimizationChoices {
  /** Whether the update looks ahead by the momentum; see `sgd`. Default false. */
  readonly nesterov?: boolean;
  /** Whether weight decay applies to batch norm's scales and shifts; default true, as in PyTorch's one SGD. */
  readonly decayBatchNorm?: boolean;
  /** Whether weight decay applies to biases; default true. */
  readonly decayBiases?: boolean;
  /** The most that the norm of all gradients may be; 0, the default: any norm is taken. */
  readonly clipGlobalNorm?: number;
  /** Of the weights' exponential moving average, which then is what is evaluated and used; absent: there is none. */
  readonly emaDecay?: number;
  /** Default `steps`. */
  readonly schedule?: ScheduleKind;
  /** Epochs, also in parts, in which the learning rate rises to its value, step by step; default 0. */
  readonly warmupEpochs?: number;
  /** Of the learning rate, where the warm-up starts; default 0.01, as in torchvision's references. */
  readonly warmupStartFactor?: number;
  /** Of the learning rate, where `cosine` and `linear` end; default 0. */
  readonly finalFactor?: number;
}

export const optimizationDefaults = {
  nesterov: false,
  decayBatchNorm: true,
  decayBiases: true,
  clipGlobalNorm: 0,
  schedule: "steps",
  warmupEpochs: 0,
  warmupStartFactor: 0.01,
  finalFactor: 0,
} as const satisfies Required<Omit<OptimizationChoices, "emaDecay">>;

/** What weight decay leaves alone. */
export function undecayedRoles(
  choices: OptimizationChoices & { readonly decayMultistepCoefficients: boolean },
): Set<ParameterRole> {
  const { decayBatchNorm, decayBiases } = { ...optimizationDefaults, ...choices };
  const switches: readonly (readonly [ParameterRole, boolean])[] = [
    ["batch_norm", decayBatchNorm],
    ["bias", decayBiases],
    ["coefficient", choices.decayMultistepCoefficients],
  ];
  return new Set(switches.flatMap(([role, isDecayed]) => isDecayed ? [] : [role]));
}
