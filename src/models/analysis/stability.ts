/** Zero-stability: what a scheme does to an error where f is no more, by the roots of its characteristic polynomial. */
import { Graph, type Tensor } from "../../gpu/mod.ts";
import { evaluateLinearGraph } from "./linear_graph.ts";
import { CHANNELS, linearBlock, type SchemeChoice, schemeOf, termsOfStep } from "./test_problem.ts";

/** Coefficients of a monic polynomial of degree one or two, that of the highest power first. */
export type Polynomial = readonly [1, number] | readonly [1, number, number];

export interface ComplexNumber {
  readonly real: number;
  readonly imaginary: number;
}

/** Roots that lie nearer to each other, or to the unit circle, are taken to be there; k as a 32-bit float is no nearer. */
const TOLERANCE = 1e-8;

const ZEROS = new Float64Array(CHANNELS);
const ONES = new Float64Array(CHANNELS).fill(1);

/**
 * z - a or z^2 - a z - b, where a step of size 0 is u_{n+1} = a u_n + b u_{n-1}: read off the step that the scheme
 * records, as a function of the coefficient k that it learns. For the linear multi-step scheme it is (z - 1)(z + k).
 */
export function characteristicPolynomial(choice: SchemeChoice): (k: number) => Polynomial {
  const graph = new Graph({ training: false });
  const [u, previous] = ["u", "previous"].map((name) => graph.source(name, [1, 1, 1, CHANNELS]));
  const scheme = schemeOf(choice);
  const before = scheme.steps === 1 ? scheme.init(u) : { u, history: [previous] };
  const after = scheme.step(graph, linearBlock(graph, "block", termsOfStep(choice, 0)), before);
  const next = scheme.solution?.(graph, after) ?? after.u;
  const factorOf = (tensor: Tensor, k: number) => {
    const sources = new Map([u, previous].map((each) => [each, each === tensor ? ONES : ZEROS]));
    return evaluateLinearGraph(graph, { sources, k }).get(next)?.[0] ?? NaN;
  };
  return (k) => scheme.steps === 1 ? [1, -factorOf(u, k)] : [1, -factorOf(u, k), -factorOf(previous, k)];
}

/** The roots, the one of largest magnitude first. */
export function rootsOf([, b, c]: Polynomial): ComplexNumber[] {
  if (c === undefined) return [{ real: -b, imaginary: 0 }];
  const middle = -b / 2;
  const discriminant = middle ** 2 - c;
  if (discriminant < 0) {
    const imaginary = Math.sqrt(-discriminant);
    return [{ real: middle, imaginary }, { real: middle, imaginary: -imaginary }];
  }
  const root = Math.sqrt(discriminant);
  // The root that is no difference of almost equal numbers; the other by the roots' product.
  const large = middle < 0 ? middle - root : middle + root;
  const small = large === 0 ? 0 : c / large;
  return [large, small].map((real) => ({ real, imaginary: 0 }));
}

/**
 * The root condition: no root lies outside the unit circle, and none on it more often than the order of the equation
 * (Dahlquist 1956; for u'' = f(u), Henrici 1962).
 */
export function isZeroStable(polynomial: Polynomial, derivative: 1 | 2 = 1): boolean {
  const roots = rootsOf(polynomial);
  return roots.every((root) => {
    const magnitude = Math.hypot(root.real, root.imaginary);
    // Of a k that is no number neither.
    if (!(magnitude <= 1 + TOLERANCE)) return false;
    return magnitude < 1 - TOLERANCE || roots.filter((other) => isSame(root, other)).length <= derivative;
  });
}

function isSame(a: ComplexNumber, b: ComplexNumber): boolean {
  return Math.hypot(a.real - b.real, a.imaginary - b.imaginary) <= TOLERANCE;
}
