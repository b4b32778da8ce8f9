/** Steps that chance has a part in, against PyTorch: what is computed, and what is left alone. */
import { assert, assertEquals } from "@std/assert";
import { Graph, type StepKey } from "../../../src/gpu/mod.ts";
import type { StochasticTraining } from "../../../src/models/mod.ts";
import { recordResidualNetwork } from "../../../src/models/networks/residual_network.ts";
import { assertClose, type GoldenName, loadGolden } from "../../support/golden.ts";
import { batchesOf, initialOf, networkOf, shapeOf } from "../../support/golden_network.ts";
import { GraphSession } from "../../support/graph_runner.ts";
import { stochasticStep } from "../../support/stochastic_step.ts";

/** As tests/golden/stochastic.py describes one. */
interface Case extends StepKey {
  readonly network: GoldenName;
  readonly chance: StochasticTraining;
}

const golden = await loadGolden("stochastic");

for (const [name, { network, chance, seed, step }] of Object.entries(golden.about.cases as Record<string, Case>)) {
  Deno.test(`a step with chance is PyTorch's: ${name}`, async () => {
    const key = { seed, step };
    const result = await stochasticStep(network, chance, { key, before: { seed, step: step + 1 } });
    const expected = (what: string) => golden.data(`${name}.${what}`);
    assertClose(result.logits, expected("logits"), { tolerance: 1e-5, what: "logits" });
    let zeros = 0;
    for (const [parameter, { data }] of golden.under(`${name}.gradient.`)) {
      const what = `gradient of ${parameter}`;
      const gradient = result.gradients.get(parameter) ?? [];
      // k has no effect after dropped blocks that left u_n = u_{n-1}; rounding in f32 alone says otherwise.
      const vanishes = data.every((value) => value !== 0 && Math.abs(value) < 1e-12);
      if (vanishes) assert(Math.abs(gradient[0]) < 1e-6, `${what} is ${gradient[0]}`);
      else assertClose(gradient, data, { tolerance: 1e-4, what });
      if (data.every((value) => value === 0)) zeros++;
    }
    assertEquals(zeros > 0, !chance.shakeShake, "parts are left out");
    for (const [state, { data }] of golden.under(`${name}.state.`)) {
      assertClose(result.states.get(state) ?? [], data, { tolerance: 1e-5, what: state });
      const before = result.statesBefore.get(state) ?? [];
      const isLeftOut = data.every((value, i) => Math.fround(value) === before[i]);
      if (isLeftOut) assertEquals(result.states.get(state), before, `${state} of a part that was left out`);
    }
  });

  Deno.test(`evaluation is PyTorch's, scaled as chance in training says: ${name}`, async () => {
    const fixture = await loadGolden(network);
    const [{ images }] = batchesOf(fixture);
    const shape = shapeOf(fixture);
    const graph = new Graph({ training: false });
    const source = graph.source("images", images.shape);
    const logits = recordResidualNetwork(graph, { ...networkOf(shape), stochastic: chance }, source, shape.classes);
    assertEquals(graph.draws.length > 0, chance.depth?.scaling === "test" || chance.shakeShake === true);
    const session = await GraphSession.open(graph, { keep: [logits] });
    try {
      session.uploadParameters(initialOf(fixture));
      session.uploadStates(initialOf(fixture));
      session.writeSource(source, images.data);
      session.draw({ seed: 0, step: 0 });
      session.step();
      const expected = golden.data(`${name}.inference_logits`);
      assertClose(await session.read(logits), expected, { tolerance: 1e-5, what: "logits" });
    } finally {
      session.close();
    }
  });
}
