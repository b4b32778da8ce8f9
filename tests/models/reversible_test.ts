/** Reversible networks compute activations again: the same gradients, in memory that does not grow with the depth. */
import { assert, assertEquals } from "@std/assert";
import {
  combine,
  differentiate,
  Graph,
  linearCombination,
  planGraph,
  softmaxCrossEntropy,
  type Target,
} from "../../src/gpu/mod.ts";
import { sameShapeTerm } from "../../src/models/blocks/block.ts";
import { basicBlock } from "../../src/models/blocks/basic.ts";
import { buildNetwork, initialValues } from "../../src/models/mod.ts";
import { recordResidualNetwork, type ResidualNetwork } from "../../src/models/networks/residual_network.ts";
import { reversible } from "../../src/models/schemes/reversible.ts";
import type { Scheme } from "../../src/models/schemes/scheme.ts";
import { assertClose } from "../support/golden.ts";
import { runGraph, type RunOutputs } from "../support/graph_runner.ts";

const BATCH = 4;
/** As many as a stage of revnet-110 has: rounding grows from step to step. */
const BLOCKS = 18;

/** The same steps, recorded as any others: all activations are kept. */
const stored: Scheme = {
  ...reversible,
  step(graph, block, state) {
    const { u: x, history: [y] } = state;
    if (!y || block.project) return reversible.step(graph, block, state);
    const shape = sameShapeTerm(x.shape[3]);
    const nextX = combine(graph, "x", [[1, x], [1, block.term("f", shape)(y)]]);
    const nextY = combine(graph, "y", [[1, y], [1, block.term("g", shape)(nextX)]]);
    return { u: nextX, history: [nextY] };
  },
};

function network(scheme: Scheme): ResidualNetwork {
  return {
    stem: { kind: "small", channels: 8 },
    activation: "pre",
    scheme,
    stages: [8, 16].map((outputChannels, s) => ({
      blocks: s === 0 ? BLOCKS : 2,
      outputChannels,
      stride: s + 1,
      block: (graph, options) => basicBlock(graph, { ...options, activation: "pre" }),
    })),
  };
}

function record(scheme: Scheme): Graph {
  const graph = new Graph({ training: true });
  const images = graph.source("images", [BATCH, 8, 8, 3]);
  const labels = graph.input("labels", BATCH * 4);
  const logits = recordResidualNetwork(graph, network(scheme), images, 10);
  const { dLogits } = softmaxCrossEntropy(graph, logits, { labels });
  differentiate(graph, new Map([[logits, dLogits]]), linearCombination);
  return graph;
}

function run(scheme: Scheme): Promise<RunOutputs> {
  const graph = record(scheme);
  const images = graph.operations[0].inputs[0];
  return runGraph(graph, {
    sources: new Map([[images, Float64Array.from({ length: BATCH * 8 * 8 * 3 }, (_, i) => Math.sin(i * i))]]),
    inputs: new Map([["labels", Uint32Array.of(1, 4, 2, 8)]]),
    parameters: initialValues(graph.parameters, 3),
    states: initialValues(graph.states, 3),
    keep: [],
  });
}

Deno.test("reversible's gradients and running statistics are those of kept activations", async () => {
  const [recomputed, kept] = [await run(reversible), await run(stored)];
  assertEquals([...recomputed.gradients.keys()], [...kept.gradients.keys()]);
  for (const [name, gradient] of kept.gradients) {
    assert(gradient.some((value) => value !== 0), `The gradient of ${name} is 0`);
    assertClose(recomputed.gradients.get(name) ?? [], gradient, { tolerance: 1e-4, what: name });
  }
  assertEquals(recomputed.states, kept.states);
});

Deno.test("reversible keeps activations in mixed precision, where they could not be computed again exactly", () => {
  const inversions = (precision: "f32" | "mixed") => {
    const graph = new Graph({ training: true, precision });
    recordResidualNetwork(graph, network(reversible), graph.source("images", [BATCH, 8, 8, 3]), 10);
    return graph.operations.filter(({ kind }) => kind === "reversible_step").length;
  };
  // The first block of the second stage is not reversible.
  assertEquals([inversions("f32"), inversions("mixed")], [BLOCKS + 1, 0]);
});

const target: Target = {
  software: true,
  subgroupSize: 0,
  maxUniformBindingBytes: 65536,
  maxStorageBindingBytes: 2 ** 31,
  maxBufferBytes: 2 ** 31,
  maxWorkgroupsPerDimension: 65535,
};

/** Bytes of activations, their gradients and scratch, of a training step. */
function activationBytes(name: string): number {
  const graph = new Graph({ training: true });
  const images = graph.source("images", [128, 32, 32, 3]);
  const labels = graph.input("labels", 128 * 4);
  const logits = buildNetwork(graph, { name }, images, { classes: 10 });
  const { dLogits, results } = softmaxCrossEntropy(graph, logits, { labels });
  differentiate(graph, new Map([[logits, dLogits]]), linearCombination);
  const { workingBytes, packedBytes } = planGraph(graph, { target, keep: [results] });
  return workingBytes - packedBytes;
}

Deno.test("revnet-110 trains in the activation memory of revnet-20", () => {
  const [shallow, deep] = [activationBytes("revnet-20"), activationBytes("revnet-110")];
  assert(deep <= shallow, `${deep} bytes are more than ${shallow}`);
  const [plainShallow, plainDeep] = [activationBytes("resnet-20"), activationBytes("resnet-110")];
  assert(plainDeep > 4 * plainShallow);
  assert(shallow < plainShallow, `${shallow} bytes are not less than ${plainShallow}`);
});
