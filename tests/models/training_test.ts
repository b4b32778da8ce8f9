/** Every family of networks and every scheme trains: a few steps on one batch make its loss fall. */
import { assert, assertEquals } from "@std/assert";
import {
  decayScales,
  differentiate,
  encodeStep,
  Graph,
  linearCombination,
  sgd,
  softmaxCrossEntropy,
  STEP_BYTES,
} from "../../src/gpu/mod.ts";
import {
  buildNetwork,
  initialValues,
  modelFamilies,
  type ModelSpec,
  type NetworkSpec,
  schemeNames,
} from "../../src/models/mod.ts";
import { meanLoss } from "../support/golden_network.ts";
import { GraphSession } from "../support/graph_runner.ts";

const BATCH = 8;
const STEPS = 10;
const CLASSES = 4;

/** The losses of steps on the same images. */
async function losses(spec: ModelSpec, side: number): Promise<number[]> {
  const graph = new Graph({ training: true });
  const images = graph.source("images", [BATCH, side, side, 3]);
  const labels = graph.input("labels", BATCH * 4);
  const step = graph.input("step", STEP_BYTES);
  const logits = buildNetwork(graph, spec, images, { classes: CLASSES });
  const { dLogits, results } = softmaxCrossEntropy(graph, logits, { labels });
  differentiate(graph, new Map([[logits, dLogits]]), linearCombination);
  sgd(graph, { momentum: 0.9, weightDecay: 1e-4, step });
  const session = await GraphSession.open(graph, { keep: [results] });
  try {
    session.uploadParameters(initialValues(graph.parameters, 1));
    session.uploadStates(initialValues(graph.states, 1));
    session.writeInput("decay_scales", decayScales(graph));
    session.writeInput("step", encodeStep({ learningRate: 0.02, seed: 0, epoch: 0 }));
    session.writeInput("labels", Uint32Array.from({ length: BATCH }, (_, i) => i % CLASSES));
    session.writeSource(images, Float32Array.from({ length: BATCH * side * side * 3 }, (_, i) => Math.sin(i * i)));
    const all: number[] = [];
    for (let index = 0; index < STEPS; index++) {
      session.step();
      all.push(meanLoss(await session.read(results)));
    }
    return all;
  } finally {
    session.close();
  }
}

/** Bottlenecks in few channels: ResNeXt's and ImageNet's networks have up to 2048. */
function narrow(stem: "small" | "large", groups: number): NetworkSpec {
  const stage = { block: "bottleneck", blocks: 2, innerChannels: 8, groups } as const;
  return { stem, stemChannels: 8, stages: [{ ...stage, channels: 8 }, { ...stage, channels: 16 }] };
}

/** A small network of each family, or one of its layout; by what ListModels calls the family. */
const networks: Readonly<Record<string, readonly ModelSpec[]>> = {
  "resnet-N": [
    { name: "as-resnet-50", activation: "post", network: narrow("large", 1) },
    { name: "as-resnet-164", network: narrow("small", 1) },
    ...schemeNames.map((scheme) => ({ name: "resnet-14", scheme })),
  ],
  "lm-resnet-N": [
    { name: "lm-resnet-14" },
    { name: "lm-resnet-14", perChannelCoefficients: true, transition: "project_both", shortcut: "zero_pad" },
    { name: "as-lm-resnet-50", scheme: "linear_multistep", shortcut: "bare_projection", network: narrow("large", 1) },
    { name: "as-lm-resnet-164", scheme: "linear_multistep", network: narrow("small", 1) },
  ],
  "resnext-29-CxWd": [{ name: "as-resnext-29", activation: "post", network: narrow("small", 2) }],
  "lm-resnext-29-CxWd": [{
    name: "as-lm-resnext-29",
    scheme: "linear_multistep",
    transition: "project_both",
    network: narrow("small", 2),
  }],
  "resnext-50-CxWd": [{ name: "as-resnext-50", activation: "post", network: narrow("large", 2) }],
  "lm-resnext-50-CxWd": [{ name: "as-lm-resnext-50", scheme: "linear_multistep", network: narrow("large", 2) }],
  "polynet-KIND-N": ["poly2", "poly3", "mpoly2", "2way"].map((kind) => ({ name: `polynet-${kind}-14` })),
  "revnet-N": [{ name: "revnet-14" }],
  "fractalnet-N": [{ name: "fractalnet-14" }],
};

Deno.test("every family is trained here", () => {
  assertEquals(Object.keys(networks), modelFamilies().map(({ pattern }) => pattern));
});

for (const spec of Object.values(networks).flat()) {
  const { network, ...choices } = spec;
  Deno.test(`buildNetwork() makes a network that trains: ${Object.values(choices).join(", ")}`, async () => {
    const all = await losses(spec, network ? 16 : 8);
    assert(all.every(Number.isFinite) && all[STEPS - 1] < 0.95 * all[0], `The loss does not fall: ${all}`);
  });
}
