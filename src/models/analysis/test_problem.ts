/** A linear equation whose solution is known, stepped by a scheme on the CPU. */
import { Graph } from "../../gpu/mod.ts";
import type { ResidualBlock, Term } from "../blocks/block.ts";
import { makeScheme, type SchemeName } from "../schemes/registry.ts";
import { evaluateLinearGraph, LinearMap, type Matrix } from "./linear_graph.ts";

/** A scheme, as far as its numbers depend on a choice. */
export interface SchemeChoice {
  readonly scheme: SchemeName;
  /** Of the fractal scheme; default 2. */
  readonly columns?: number;
}

/** Every k of the linear multi-step scheme here. */
export const TEST_COEFFICIENT = 0.1;

/** Of u: two halves of four channels, for the reversible scheme. */
export const CHANNELS = 8;
export const START: readonly number[] = [1, -0.5, 0.25, 0.75, -1, 0.5, 1.5, 0.2];
const END_TIME = 1;

/** Of u' = A u: rotations of pairs of channels, each half of the channels driven by the other. */
export const A: Matrix = Array.from({ length: CHANNELS }, (_, row) => {
  const rate = 0.5 + row % 4 / 4;
  return Array.from({ length: CHANNELS }, (_, column) => {
    if (column === (row + 4) % CHANNELS) return row < 4 ? rate : -rate;
    return 0;
  });
});
/** What drives the first half of the channels. */
export const HALF: Matrix = A.slice(0, 4).map((row) => row.slice(4));
const IDENTITY: Matrix = START.map((_, row) => START.map((_, column) => row === column ? 1 : 0));

/** The linear maps that a block's terms are, by the terms' names. */
export type LinearTerms = (term: string) => Matrix;

/** A block on the channels of u whose terms are linear. */
export function linearBlock(graph: Graph, name: string, terms: LinearTerms): ResidualBlock {
  const map = (term: string): Term => (u) => LinearMap.record(graph, u, terms(term));
  return {
    name,
    shape: { inputChannels: CHANNELS, outputChannels: CHANNELS, stride: 1 },
    f: map("f"),
    term: (suffix) => map(suffix),
  };
}

export function scaled(matrix: Matrix, factor: number): Matrix {
  return matrix.map((row) => row.map((value) => value * factor));
}

/** With which terms a scheme takes a step of size h of the equation: f has the step size absorbed. */
export function termsOfStep({ scheme, columns = 2 }: SchemeChoice, h: number): LinearTerms {
  switch (scheme) {
    case "linear_multistep":
      // As k is the same everywhere, the step is one of (1 + k) h; the first, of forward Euler, is as long.
      return () => scaled(A, (1 + TEST_COEFFICIENT) * h);
    case "leapfrog":
      // The squared step size is absorbed: u'' = -u.
      return () => scaled(IDENTITY, -h * h);
    case "two_way":
      return () => scaled(A, h / 2);
    case "fractal":
      // Terms are steps of forward Euler, each column's half as long as that of the column above it.
      return (term) => identityPlus(A, h * 2 ** (Number(/^column(\d+)/.exec(term)?.[1]) - columns));
    case "reversible":
      return (term) => scaled(HALF, term === "f" ? h : -h);
    default:
      return () => scaled(A, h);
  }
}

/** The scheme's error at a fixed time after so many steps of equal size. */
export function errorAfter(choice: SchemeChoice, steps: number): number {
  const graph = new Graph({ training: false });
  const u0 = graph.source("u0", [1, 1, 1, CHANNELS]);
  const scheme = schemeOf(choice);
  const terms = termsOfStep(choice, END_TIME / steps);
  let state = scheme.init(u0);
  for (let n = 0; n < steps; n++) state = scheme.step(graph, linearBlock(graph, `block${n}`, terms), state);
  const solution = scheme.solution?.(graph, state) ?? state.u;
  const value = evaluateLinearGraph(graph, { sources: new Map([[u0, START]]), k: TEST_COEFFICIENT }).get(solution);
  const exact = scheme.derivative === 2 ? START.map((start) => start * Math.cos(END_TIME)) : exponential(END_TIME);
  return Math.hypot(...exact.map((expected, i) => expected - (value?.[i] ?? NaN)));
}

export function schemeOf({ scheme, columns = 2 }: SchemeChoice) {
  return makeScheme(scheme, { transition: "plain", perChannelCoefficients: false, columns });
}

function identityPlus(matrix: Matrix, factor: number): Matrix {
  return scaled(matrix, factor).map((row, i) => row.map((value, j) => value + IDENTITY[i][j]));
}

/** exp(t A) u by its series. */
function exponential(time: number): number[] {
  let term = [...START];
  const sum = [...START];
  for (let n = 1; n < 30; n++) {
    term = product(A, term).map((value) => value * time / n);
    term.forEach((value, i) => sum[i] += value);
  }
  return sum;
}

export function product(matrix: Matrix, vector: ArrayLike<number>): number[] {
  return matrix.map((row) => row.reduce((sum, value, i) => sum + value * vector[i], 0));
}
