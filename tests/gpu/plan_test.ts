/** What a plan takes together and what shares a buffer; planning needs no GPU. */
import { assert, assertEquals } from "@std/assert";
import { batchNorm, conv2d, Graph, planGraph, residualAdd, type Target, type Tensor } from "../../src/gpu/mod.ts";
import { SlotAllocator } from "../../src/gpu/graph/slots.ts";

/** Software Vulkan with subgroups. */
const TARGET: Target = {
  software: true,
  subgroupSize: 16,
  maxUniformBindingBytes: 65536,
  maxStorageBindingBytes: 2 ** 27,
  maxBufferBytes: 2 ** 31,
  maxWorkgroupsPerDimension: 65535,
};

interface Network {
  readonly graph: Graph;
  /** The output of batch norm, and all results. */
  readonly normalised: Tensor;
  readonly results: readonly Tensor[];
}

/** conv(norm(x)) of 16 channels, and another reader of the normalised values. */
function network(training: boolean, other?: (graph: Graph, normalised: Tensor) => Tensor): Network {
  const graph = new Graph({ training });
  const x = graph.source("x", [2, 8, 8, 16]);
  const normalised = batchNorm(graph, x, { name: "norm", relu: true });
  const y = conv2d(graph, normalised, { name: "conv", outputChannels: 16, kernel: 3, padding: 1 });
  return { graph, normalised, results: other ? [y, other(graph, normalised)] : [y] };
}

function operations({ graph, results }: Network, target = TARGET): string[] {
  return [...new Set(planGraph(graph, { target, keep: results }).origins.values())].map(({ kind }) => kind);
}

for (const training of [true, false]) {
  const where = training ? "training" : "inference";

  Deno.test(`planGraph() stores no batch norm in ${where} that all readers compute as they load`, () => {
    assertEquals(operations(network(training)).includes("batch_norm"), false);
    const twice = network(training, (graph, normalised) => {
      return conv2d(graph, normalised, { name: "projection", outputChannels: 32, kernel: 1, stride: 2 });
    });
    assertEquals(operations(twice).filter((kind) => !kind.startsWith("batch_norm_")), ["conv2d", "conv2d"]);
  });

  Deno.test(`planGraph() stores batch norm in ${where} where one reader cannot compute it, or it is kept`, () => {
    const narrow = network(training, (graph, normalised) => {
      return conv2d(graph, normalised, { name: "narrow", outputChannels: 4, kernel: 3, padding: 1 });
    });
    const sum = network(training, (graph, normalised) => residualAdd(graph, "sum", normalised, normalised));
    const { normalised, ...rest } = network(training);
    const kept = { ...rest, normalised, results: [...rest.results, normalised] };
    for (const stored of [narrow, sum, kept]) assertEquals(operations(stored).includes("batch_norm"), true);
    assertEquals(operations(network(training), { ...TARGET, software: false }).includes("batch_norm"), true);
    assertEquals(operations(network(training), { ...TARGET, subgroupSize: 0 }).includes("batch_norm"), true);
  });
}

Deno.test("planGraph() takes a sum into the convolution that feeds it alone, and not one that is read elsewhere", () => {
  const record = () => {
    const graph = new Graph({ training: false });
    const x = graph.source("x", [2, 8, 8, 16]);
    const f = conv2d(graph, x, { name: "f", outputChannels: 16, kernel: 3, padding: 1 });
    return { graph, normalised: x, f, u: residualAdd(graph, "u", x, f) };
  };
  const alone = record();
  assertEquals(operations({ ...alone, results: [alone.u] }), ["conv2d"]);
  const kept = record();
  assertEquals(operations({ ...kept, results: [kept.u, kept.f] }), ["conv2d", "linear_combination"]);
  const read = record();
  const again = residualAdd(read.graph, "again", read.u, read.f);
  assertEquals(operations({ ...read, results: [again] }), ["conv2d", "linear_combination", "linear_combination"]);
});

Deno.test("SlotAllocator gives the buffer of an image with a border to images of its layout alone", () => {
  const slots = new SlotAllocator();
  const handle = (id: number, bytes: number) => ({ id, label: `buffer ${id}`, bytes });
  const border = { height: 8, width: 4, halo: 1, bytes: 16 };
  const slotOf = (id: number) => slots.slotOf(handle(id, 0)).index;
  slots.allocateBordered(handle(1, 960), border);
  slots.release(handle(1, 960));
  slots.allocate(handle(2, 960));
  slots.allocateBordered(handle(3, 960), { ...border, height: 4, width: 8 });
  slots.allocateBordered(handle(4, 1920), border);
  slots.reserve(handle(5, 960), border);
  for (const other of [2, 3, 4, 5]) assert(slotOf(other) !== slotOf(1), `${other}`);
  slots.allocateBordered(handle(6, 960), border);
  assertEquals(slotOf(6), slotOf(1));
});
