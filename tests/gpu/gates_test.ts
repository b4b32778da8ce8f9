/** Parts of a graph that a step leaves out. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  batchNorm,
  combine,
  conv2d,
  differentiate,
  type Draw,
  Graph,
  linearCombination,
  planGraph,
  type Precision,
  type StepKey,
} from "../../src/gpu/mod.ts";
import { ShapeError } from "../../src/gpu/errors.ts";
import { affine } from "../../src/gpu/graph/coefficient.ts";
import { assertClose } from "../support/golden.ts";
import { GraphSession, testDevice, testPrecisions } from "../support/graph_runner.ts";

const SHAPE = [2, 4, 4, 4];
const LENGTH = 2 * 4 * 4 * 4;
const INPUT = Float64Array.from({ length: LENGTH }, (_, i) => Math.sin(i + 1));

/** A draw whose value in step n is the nth of a list. */
function listed(graph: Graph, name: string, values: readonly number[], isBinary = false): Draw {
  return graph.draw(name, { isBinary, sample: ({ step }: StepKey) => values[step] });
}

/** BN and a convolution, with parameters of their own. */
function term(name: string) {
  return (graph: Graph, u: Parameters<typeof batchNorm>[1]) =>
    conv2d(graph, batchNorm(graph, u, { name: `${name}.bn`, relu: true }), {
      name: `${name}.conv`,
      outputChannels: 4,
      kernel: 3,
      padding: 1,
    });
}

/** u + a f(u) + b g(u), with f gated by a and g, within f's gate, by b: so b is 0 where a is. */
function nested(values: { a: readonly number[]; b: readonly number[] }, precision: Precision = "f32") {
  const graph = new Graph({ training: true, precision });
  const u = graph.source("u", SHAPE, { needsGradient: true });
  const [a, b] = [listed(graph, "a", values.a), listed(graph, "b", values.b)];
  const inner = graph.gated(a, () => {
    const f = term("f")(graph, u);
    const g = graph.gated(b, () => term("g")(graph, f));
    return combine(graph, "inner", [[1, f], [1, g, b]]);
  });
  const y = combine(graph, "y", [[1, u], [1, inner, a]]);
  const cotangent = graph.source("cotangent", SHAPE);
  const dU = differentiate(graph, new Map([[y, cotangent]]), linearCombination).get(u);
  assert(dU);
  return { graph, u, y, cotangent, dU };
}

/** u + a f(u) + b f(2 u), one f. */
function shared(values: { a: readonly number[]; b: readonly number[] }) {
  const graph = new Graph({ training: true });
  const u = graph.source("u", SHAPE, { needsGradient: true });
  const [a, b] = [listed(graph, "a", values.a), listed(graph, "b", values.b)];
  const f = term("f");
  const first = graph.gated(a, () => f(graph, u));
  const second = graph.gated(b, () => graph.reusing(() => f(graph, combine(graph, "2u", [[2, u]]))));
  const y = combine(graph, "y", [[1, u], [1, first, a], [1, second, b]]);
  const cotangent = graph.source("cotangent", SHAPE);
  const dU = differentiate(graph, new Map([[y, cotangent]]), linearCombination).get(u);
  assert(dU);
  return { graph, u, y, cotangent, dU };
}

async function open({ graph, u, y, cotangent, dU }: ReturnType<typeof nested>): Promise<GraphSession> {
  const session = await GraphSession.open(graph, { keep: [y, dU] });
  session.writeSource(u, INPUT);
  session.writeSource(cotangent, INPUT.map((value) => value * value - 0.3));
  session.uploadParameters(
    new Map(graph.parameters.map(({ tensor: { name, shape } }) => {
      const length = shape.reduce((product, extent) => product * extent, 1);
      return [name, Float64Array.from({ length }, (_, i) => 0.5 + 0.4 * Math.cos(3 * i + name.length))];
    })),
  );
  session.uploadStates(new Map(graph.states.map(({ tensor: { name } }) => [name, Float64Array.of(1, 2, 3, 4)])));
  return session;
}

/** As a graph of that precision stores images. */
function stored(values: Float64Array, precision: Precision): number[] {
  return [...(precision === "mixed" ? Float16Array.from(values) : Float32Array.from(values))];
}

for (const precision of await testPrecisions()) {
  Deno.test(`Graph.gated() leaves its operations out of a step, and of those around them: ${precision}`, async () => {
    await checkNested(precision);
  });
}

async function checkNested(precision: Precision): Promise<void> {
  const network = nested({ a: [1, 1, 0, 2], b: [1, 0, 0, 0.5] }, precision);
  const tolerance = precision === "mixed" ? 0.1 : 1e-4;
  const session = await open(network);
  try {
    const at = async (step: number) => {
      const before = await session.variables.downloadStates();
      session.draw({ seed: 0, step });
      session.step();
      const states = await session.variables.downloadStates();
      const moved = [...states].filter(([name, values]) => values.some((value, i) => value !== before.get(name)?.[i]));
      const gradients = await session.variables.downloadGradients();
      const learning = [...gradients].filter(([, values]) => values.some((value) => value !== 0));
      return {
        moved: [...new Set(moved.map(([name]) => name[0]))].join(),
        learning: [...new Set(learning.map(([name]) => name[0]))].join(),
        y: await session.read(network.y),
        dU: await session.read(network.dU),
      };
    };
    const [whole, outer, neither, scaled] = [await at(0), await at(1), await at(2), await at(3)];
    assertEquals([whole.moved, outer.moved, neither.moved, scaled.moved], ["f,g", "f", "", "f,g"]);
    assertEquals([whole.learning, outer.learning, neither.learning, scaled.learning], ["f,g", "f", "", "f,g"]);
    assertEquals([...neither.y], stored(INPUT, precision));
    assertEquals([...neither.dU], stored(INPUT.map((value) => value * value - 0.3), precision));
    // y = u + a (f + b g): what the factors 2 and 1/2 should give, from the steps with factors of 1.
    scaled.y.forEach((value, i) => {
      const [f, g] = [outer.y[i] - INPUT[i], whole.y[i] - outer.y[i]];
      assert(Math.abs(value - (INPUT[i] + 2 * (f + g / 2))) < tolerance, `y[${i}] is ${value}`);
    });
  } finally {
    session.close();
  }
}

Deno.test("a parameter that several gates use has the gradient of those that are open", async () => {
  const session = await open(shared({ a: [1, 1, 0, 0], b: [1, 0, 1, 0] }));
  try {
    const gradients: Map<string, Float32Array>[] = [];
    for (let step = 0; step < 4; step++) {
      session.draw({ seed: 0, step });
      session.step();
      gradients.push(await session.variables.downloadGradients());
    }
    const [both, first, second, neither] = gradients;
    for (const [name, values] of both) {
      const parts = [first.get(name) ?? [], second.get(name) ?? []];
      for (const part of parts) assert(Math.hypot(...part) > 0.1, `${name} has no gradient`);
      const sum = Array.from(values, (_, i) => parts[0][i] + parts[1][i]);
      assertClose(values, sum, { tolerance: 1e-5, what: `gradient of ${name}` });
      assertEquals(neither.get(name), new Float32Array(values.length));
    }
  } finally {
    session.close();
  }
});

Deno.test("Execution.encode() refuses a step for which nothing was drawn", async () => {
  const session = await open(nested({ a: [1], b: [1] }));
  try {
    assertThrows(() => session.step(), Error, 'Cannot run a step: "a" has not been drawn for it');
  } finally {
    session.close();
  }
});

Deno.test("planGraph() takes a sum into a gated convolution, and has it alone for steps without that", async () => {
  const { target } = await testDevice();
  const plan = (isBinary: boolean) => {
    const graph = new Graph({ training: true });
    const u = graph.source("u", SHAPE);
    const gate = listed(graph, "gate", [1], isBinary);
    const f = graph.gated(gate, () => term("f")(graph, u));
    const y = combine(graph, "y", [[1, u], [1, f, gate]]);
    return planGraph(graph, { target, keep: [y] });
  };
  const { kernels, conditions } = plan(false);
  const closed = kernels.filter((kernel) => conditions.get(kernel)?.some(({ open }) => !open));
  assertEquals(closed.map(({ label }) => label.split(" ")[0]), ["linear_combination"]);
  assert(kernels.every((kernel) => conditions.has(kernel)), "something runs in every step");
  // Of a factor that is 0 or 1, the open kernels know nothing: they are those of a graph without gates.
  const bound = (isBinary: boolean) =>
    plan(isBinary).kernels.flatMap(({ bindings }) => bindings).filter(({ buffer }) => buffer.label === "draws").length;
  assertEquals([bound(false), bound(true)], [1, 0]);
});

Deno.test("Graph.gated() leaves nothing out in inference", async () => {
  const { target } = await testDevice();
  const graph = new Graph({ training: false });
  const u = graph.source("u", SHAPE);
  const gate = listed(graph, "gate", [0.5]);
  const f = graph.gated(gate, () => term("f")(graph, u));
  const y = combine(graph, "y", [[1, u], [1, f, gate]]);
  assertEquals(planGraph(graph, { target, keep: [y] }).conditions.size, 0);
});

Deno.test("linearCombination() refuses a coefficient that is both trained and drawn", () => {
  const graph = new Graph({ training: true });
  const u = graph.source("u", SHAPE);
  const k = graph.parameter("k", [1], { initializer: { kind: "constant", value: 0 } });
  const draw = listed(graph, "draw", [1]);
  const coefficient = { ...affine(0, 1, k), draw };
  assertThrows(() => linearCombination(graph, "y", [{ tensor: u, coefficient }]), ShapeError, "both trained and drawn");
});
