/** The order of a scheme, measured. */
import { errorAfter, type SchemeChoice } from "./test_problem.ts";

const STEPS = [32, 64, 128, 256];

/** The slope of log(error at a fixed time) over log(step size), by least squares. */
export function measureOrder(choice: SchemeChoice): number {
  const points = STEPS.map((steps) => ({ x: -Math.log(steps), y: Math.log(errorAfter(choice, steps)) }));
  const [x, y] = [mean(points.map((point) => point.x)), mean(points.map((point) => point.y))];
  return mean(points.map((point) => (point.x - x) * (point.y - y))) / mean(points.map((point) => (point.x - x) ** 2));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
