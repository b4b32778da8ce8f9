/** The schemes by name. */
import type { Transition } from "../spec.ts";
import { forwardEuler } from "./forward_euler.ts";
import { fractal } from "./fractal.ts";
import { leapfrog } from "./leapfrog.ts";
import { linearMultistep } from "./linear_multistep.ts";
import { midpoint } from "./midpoint.ts";
import { momentum } from "./momentum.ts";
import { mpoly2, poly2, poly3, twoWay } from "./polynet.ts";
import { reversible } from "./reversible.ts";
import { rungeKutta4 } from "./runge_kutta_4.ts";
import type { Scheme } from "./scheme.ts";

/** What some of the schemes let one choose. */
export interface SchemeOptions {
  readonly transition: Transition;
  readonly perChannelCoefficients: boolean;
  /** Of the fractal scheme. */
  readonly columns: number;
}

const SCHEMES = {
  forward_euler: () => forwardEuler,
  linear_multistep: ({ transition, perChannelCoefficients: perChannel }) => linearMultistep({ transition, perChannel }),
  midpoint: () => midpoint,
  leapfrog: () => leapfrog,
  rk4: () => rungeKutta4,
  momentum: () => momentum,
  poly_2: () => poly2,
  poly_3: () => poly3,
  mpoly_2: () => mpoly2,
  two_way: () => twoWay,
  fractal: ({ columns }) => fractal(columns),
  reversible: () => reversible,
} satisfies Record<string, (options: SchemeOptions) => Scheme>;

export type SchemeName = keyof typeof SCHEMES;

export const schemeNames = Object.keys(SCHEMES) as readonly SchemeName[];

export function makeScheme(name: SchemeName, options: SchemeOptions): Scheme {
  return SCHEMES[name](options);
}
