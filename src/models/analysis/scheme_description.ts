/** What there is to say of a scheme as a numerical method. */
import type { SchemeName } from "../schemes/registry.ts";
import { measureOrder } from "./order.ts";
import { characteristicPolynomial, type ComplexNumber, isZeroStable, type Polynomial, rootsOf } from "./stability.ts";
import { type SchemeChoice, schemeOf, TEST_COEFFICIENT } from "./test_problem.ts";

export interface SchemeDescription {
  readonly scheme: SchemeName;
  /** "forward Euler" */
  readonly name: string;
  /** A step: "u + f(u)". */
  readonly formula: string;
  /** How many of the solutions before it a step uses. */
  readonly steps: number;
  /** Of the equation that is stepped: 2 for u'' = f(u). */
  readonly derivative: number;
  readonly order: number;
  /** On a linear equation. */
  readonly measuredOrder: number;
  /** k, for which all that is said here holds; undefined for schemes that learn none. */
  readonly coefficient?: number;
  /** Of the step without f, that of the highest power first. */
  readonly characteristicPolynomial: Polynomial;
  readonly roots: readonly ComplexNumber[];
  /** Whether the roots are such that errors do not grow by themselves. */
  readonly zeroStable: boolean;
  /** Author and year. */
  readonly source: string;
}

/** Takes some hundredths of a second, which the order is measured in. */
export function describeScheme(choice: SchemeChoice): SchemeDescription {
  const { name, formula, steps, order, derivative = 1, source } = schemeOf(choice);
  const polynomial = characteristicPolynomial(choice)(TEST_COEFFICIENT);
  return {
    scheme: choice.scheme,
    name,
    formula,
    steps,
    derivative,
    order,
    measuredOrder: measureOrder(choice),
    coefficient: choice.scheme === "linear_multistep" ? TEST_COEFFICIENT : undefined,
    characteristicPolynomial: polynomial,
    roots: rootsOf(polynomial),
    zeroStable: isZeroStable(polynomial, derivative),
    source,
  };
}
