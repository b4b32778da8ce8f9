/** Updates of the optimiser, step by step, against PyTorch's. */
import {
  decayScales,
  differentiate,
  encodeStep,
  Graph,
  linear,
  linearCombination,
  sgd,
  STEP_BYTES,
} from "../../src/gpu/mod.ts";
import { type SgdState, sgdStep } from "../reference/sgd.ts";
import { assertClose, loadGolden } from "../support/golden.ts";
import { GraphSession } from "../support/graph_runner.ts";

const golden = await loadGolden("optimization");

const TOLERANCE = 1e-6;

/** Takes the case's steps with y = W x, whose gradient by W is dy x^T: x = 1, so that it is dy. */
async function takeSteps(name: string): Promise<void> {
  const { learningRate, momentum, weightDecay, nesterov } = golden.options(name);
  const { shape: [steps, length], data: gradients } = golden.tensor(`${name}.gradients`);
  const graph = new Graph({ training: true });
  const step = graph.input("step", STEP_BYTES);
  const x = graph.source("x", [1, 1]);
  const y = linear(graph, x, { name: "linear", outputs: length });
  const cotangent = graph.source("dy", y.shape);
  differentiate(graph, new Map([[y, cotangent]]), linearCombination);
  sgd(graph, { momentum, weightDecay, nesterov: Boolean(nesterov), step });
  const session = await GraphSession.open(graph, { keep: [] });
  try {
    const start = golden.data(`${name}.parameter`);
    session.uploadParameters(new Map([["linear.weight", start], ["linear.bias", start]]));
    session.writeInput("decay_scales", decayScales(graph));
    session.writeInput("step", encodeStep({ learningRate, seed: 0, epoch: 0 }));
    session.writeSource(x, [1]);
    for (let index = 0; index < steps; index++) {
      session.writeSource(cotangent, gradients.subarray(index * length, (index + 1) * length));
      session.step();
      const expected = golden.data(`${name}.parameters`).subarray(index * length, (index + 1) * length);
      const parameters = await session.variables.downloadParameters();
      for (const parameter of ["linear.weight", "linear.bias"]) {
        const what = `${parameter} after step ${index}`;
        assertClose(parameters.get(parameter)!, expected, { tolerance: TOLERANCE, what });
      }
    }
  } finally {
    session.close();
  }
}

Deno.test("sgd() with Nesterov's momentum takes four steps as PyTorch does", () => takeSteps("update_nesterov"));

Deno.test("reference sgdStep() with Nesterov's momentum agrees with PyTorch", () => {
  const { learningRate, momentum, weightDecay } = golden.options("update_nesterov");
  const { shape: [steps, length], data: gradients } = golden.tensor("update_nesterov.gradients");
  let state: SgdState = { parameter: golden.data("update_nesterov.parameter"), velocity: new Float64Array(length) };
  for (let step = 0; step < steps; step++) {
    const row = (all: Float64Array) => all.subarray(step * length, (step + 1) * length);
    state = sgdStep(state, row(gradients), { learningRate, momentum, weightDecay, nesterov: true });
    const expected = row(golden.data("update_nesterov.parameters"));
    assertClose(state.parameter, expected, { tolerance: 1e-14, what: `parameter after step ${step}` });
  }
});
