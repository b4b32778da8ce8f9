/** One training step of a fixture's network, from its initial values, on its first batch, with chance. */
import { decayScales, encodeStep, type StepKey } from "../../src/gpu/mod.ts";
import type { StochasticTraining } from "../../src/models/mod.ts";
import { type GoldenName, loadGolden } from "./golden.ts";
import { batchesOf, initialOf, shapeOf, trainingGraph } from "./golden_network.ts";
import { GraphSession } from "./graph_runner.ts";

export interface StochasticStep {
  readonly draws: number;
  readonly logits: Float32Array;
  readonly gradients: ReadonlyMap<string, Float32Array>;
  readonly statesBefore: ReadonlyMap<string, Float32Array>;
  readonly states: ReadonlyMap<string, Float32Array>;
}

/**
 * Buffers start as NaN, so that a value that nobody computed shows where it is used.
 * @param before A step to run first, from the same values: what it leaves must not show either.
 */
export async function stochasticStep(
  network: GoldenName,
  stochastic: StochasticTraining | undefined,
  { key, before }: { readonly key: StepKey; readonly before?: StepKey },
): Promise<StochasticStep> {
  const golden = await loadGolden(network);
  const [batch] = batchesOf(golden);
  const { graph, images, logits, results } = trainingGraph(shapeOf(golden), batch.images.shape, {
    learningRate: 0,
    momentum: 0,
    weightDecay: 0,
    stochastic,
  });
  const session = await GraphSession.open(graph, { keep: [logits, results] });
  try {
    session.uploadParameters(initialOf(golden));
    session.uploadStates(initialOf(golden));
    session.writeInput("decay_scales", decayScales(graph));
    session.writeInput("step", encodeStep({ learningRate: 0, seed: 0, epoch: 0 }));
    session.writeSource(images, batch.images.data);
    session.writeInput("labels", batch.labels);
    const statesBefore = await session.variables.downloadStates();
    for (const step of before ? [before, key] : [key]) {
      session.uploadStates(initialOf(golden));
      session.draw(step);
      session.step();
    }
    return {
      draws: graph.draws.length,
      logits: await session.read(logits),
      gradients: await session.variables.downloadGradients(),
      statesBefore,
      states: await session.variables.downloadStates(),
    };
  } finally {
    session.close();
  }
}
