/** Convolutions of images of one channel quad, of which invocations walk down columns of pixels. */
import { batchNorm, conv2d, Graph, linearCombination, ONE } from "../../src/gpu/mod.ts";
import { checkConv2d, type Conv2dCase, randomValues } from "../support/conv2d_check.ts";
import { assertClose } from "../support/golden.ts";
import { runGraph, testDevice, testPrecisions } from "../support/graph_runner.ts";
import { assertEquals } from "@std/assert";

const { target } = await testDevice();
const precisions = await testPrecisions();
const ignore = !target.software || target.subgroupSize === 0;

/** Forward and weight gradient are computed by columns, the input gradient where the output is one quad too. */
const CASES: Readonly<Record<string, Conv2dCase & { readonly columns: number }>> = {
  "three channels": { input: [4, 16, 16, 3], outputChannels: 16, kernel: [3, 3], padding: 1, columns: 2 },
  "three channels and odd sizes": { input: [3, 7, 9, 3], outputChannels: 24, kernel: [3, 3], padding: 1, columns: 2 },
  "one channel": { input: [2, 10, 6, 1], outputChannels: 20, kernel: [5, 5], padding: 2, columns: 2 },
  "two channels, no padding": { input: [3, 8, 11, 2], outputChannels: 8, kernel: [3, 2], columns: 2 },
  "four channels and a single tap": { input: [1, 6, 5, 4], outputChannels: 40, kernel: [1, 1], columns: 2 },
  "a stem at stride 2": {
    input: [1, 20, 18, 3],
    outputChannels: 32,
    kernel: [7, 7],
    stride: 2,
    padding: 3,
    columns: 1,
  },
  "a stride past the kernel": { input: [2, 11, 11, 3], outputChannels: 8, kernel: [2, 2], stride: 3, columns: 2 },
  "one quad to one quad": { input: [2, 9, 9, 3], outputChannels: 3, kernel: [3, 3], padding: 1, columns: 3 },
  "images that slices do not divide": {
    input: [70, 5, 33, 3],
    outputChannels: 4,
    kernel: [3, 3],
    padding: 1,
    columns: 3,
  },
  "an output of one quad, strided": {
    input: [2, 9, 7, 16],
    outputChannels: 3,
    kernel: [3, 3],
    stride: 2,
    padding: 1,
    // One for each phase of the input gradient.
    columns: 4,
  },
};

for (const [name, { columns, ...options }] of Object.entries(CASES)) {
  for (const precision of precisions) {
    Deno.test({
      name: `conv2d() and its gradients match the reference by columns with ${name}, ${precision}`,
      ignore,
      async fn() {
        const taken = await checkConv2d(options, { precision, form: "columns" });
        assertEquals(taken.filter((form) => form.startsWith("columns")).length, columns, taken.join(", "));
      },
    });
  }
}

Deno.test({
  name: "conv2d() by columns with batch norm and an addition in its kernel gives what strips do",
  ignore,
  async fn() {
    const graph = new Graph({ training: false });
    const x = graph.source("x", [2, 9, 10, 3]);
    const other = graph.source("other", [2, 8, 9, 8]);
    const y = conv2d(graph, x, { name: "conv", outputChannels: 8, kernel: 2 });
    const f = batchNorm(graph, y, { name: "norm", relu: true });
    const sum = linearCombination(graph, "sum", [
      { tensor: other, coefficient: ONE },
      { tensor: conv2d(graph, x, { name: "second", outputChannels: 8, kernel: 2 }), coefficient: ONE },
    ]);
    const run = async (form: string) => {
      const { values } = await runGraph(graph, {
        sources: new Map([[x, randomValues(x.shape)], [other, randomValues(other.shape)]]),
        parameters: new Map([
          ["conv.weight", randomValues([8, 3, 2, 2])],
          ["second.weight", randomValues([8, 3, 2, 2])],
          ["norm.weight", randomValues([8])],
          ["norm.bias", randomValues([8])],
        ]),
        states: new Map([
          ["norm.running_mean", randomValues([8])],
          ["norm.running_var", randomValues([8]).map((value) => value + 1)],
        ]),
        keep: [f, sum],
        choose: ({ candidates }) => candidates.find(({ name }) => name.startsWith(form)) ?? candidates[0],
      });
      return [f, sum].map((tensor) => values.get(tensor)!);
    };
    const [columns, strips] = [await run("columns"), await run("strip")];
    columns.forEach((values, i) => assertClose(values, strips[i], { tolerance: 1e-5, what: i === 0 ? "f" : "sum" }));
  },
});
