/** How long pipelines live. */
import { batchNorm, conv2d, GpuError, Graph, type Tensor } from "../../src/gpu/mod.ts";
import { PipelineCache } from "../../src/gpu/device/mod.ts";
import type { Kernel } from "../../src/gpu/graph/kernel.ts";
import { GraphSession, testDevice } from "../support/graph_runner.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";

function kernel(code: string, constants?: Record<string, number>): Kernel {
  return { label: code, code, constants, bindings: [], workgroups: [1, 1, 1] };
}

/** A cache of empty pipelines, and the texts that were compiled. */
function cacheOf(mostUnused: number) {
  const compiled: string[] = [];
  const cache = new PipelineCache(({ code }) => {
    compiled.push(code);
    return Promise.resolve({ label: code } as GPUComputePipeline);
  }, mostUnused);
  return { cache, compiled };
}

Deno.test("PipelineCache: kernels of equal text and constants share a pipeline, also while it is being created", async () => {
  const { cache, compiled } = cacheOf(0);
  const leases = await Promise.all([kernel("a"), kernel("a"), kernel("a", { N: 1 })].map((each) => cache.lease(each)));
  assert(leases[0].pipeline === leases[1].pipeline);
  assert(leases[0].pipeline !== leases[2].pipeline);
  assertEquals(compiled, ["a", "a"]);
});

Deno.test("PipelineCache keeps a pipeline while one of its users is left, whatever the bound", async () => {
  const { cache, compiled } = cacheOf(0);
  const first = await cache.lease(kernel("a"));
  const second = await cache.lease(kernel("a"));
  first.release();
  first.release();
  assertEquals(cache.counts, { used: 1, unused: 0 });
  second.release();
  assertEquals(cache.counts, { used: 0, unused: 0 });
  await cache.lease(kernel("a"));
  assertEquals(compiled, ["a", "a"]);
});

Deno.test("PipelineCache keeps the pipelines that were released last", async () => {
  const { cache, compiled } = cacheOf(2);
  for (const code of ["a", "b", "a", "c"]) (await cache.lease(kernel(code))).release();
  assertEquals(cache.counts, { used: 0, unused: 2 });
  assertEquals([cache.takeDropped(), cache.takeDropped()], [1, 0]);
  for (const code of ["c", "a"]) await cache.lease(kernel(code));
  assertEquals(compiled, ["a", "b", "c"]);
  await cache.lease(kernel("b"));
  assertEquals(compiled, ["a", "b", "c", "b"]);
});

Deno.test("PipelineCache tries again what could not be compiled", async () => {
  let attempts = 0;
  const cache = new PipelineCache(() => {
    if (attempts++ === 0) return Promise.reject(new GpuError("shader", "Cannot build the kernel"));
    return Promise.resolve({} as GPUComputePipeline);
  });
  await assertRejects(() => cache.lease(kernel("a")), GpuError);
  assertEquals(cache.counts, { used: 0, unused: 0 });
  await cache.lease(kernel("a"));
});

Deno.test("Execution lets go of its pipelines when it is destroyed", async () => {
  const { pipelines } = await testDevice();
  const { used } = pipelines.counts;
  const session = await GraphSession.open(...network());
  assert(pipelines.counts.used > used);
  session.close();
  assertEquals(pipelines.counts.used, used);
});

function network(): [Graph, { keep: Tensor[] }] {
  const graph = new Graph({ training: false });
  const x = graph.source("x", [1, 6, 6, 8]);
  const y = batchNorm(graph, conv2d(graph, x, { name: "conv", outputChannels: 12, kernel: 1 }), { name: "norm" });
  return [graph, { keep: [y] }];
}
