import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { readInitialCheckpoint, startingValues } from "../../src/engine/initial_checkpoint.ts";
import { EngineError } from "../../src/engine/mod.ts";
import { Graph, type Variable } from "../../src/gpu/mod.ts";
import {
  buildNetwork,
  type Checkpoint,
  encodeCheckpoint,
  initialValues,
  type NamedTensor,
} from "../../src/models/mod.ts";
import { checkpointAt } from "../support/checkpoints.ts";
import { smallConfig } from "../support/small_training.ts";

function record(name: string, classes: number): Graph {
  const graph = new Graph({ training: true });
  buildNetwork(graph, { name }, graph.source("images", [1, 8, 8, 3]), { classes });
  return graph;
}

/** Of a network whose every value is 7. */
function trained(graph: Graph): Checkpoint {
  const filled = (variables: readonly Variable[]) =>
    new Map(variables.map(({ tensor: { name, shape } }): [string, NamedTensor] => {
      return [name, { shape, data: new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(7) }];
    }));
  return { ...checkpointAt(3), parameters: filled(graph.parameters), states: filled(graph.states) };
}

async function withCheckpoint(checkpoint: Checkpoint, test: (dataDir: string) => Promise<void>): Promise<void> {
  const dataDir = await Deno.makeTempDir();
  try {
    await Deno.writeFile(`${dataDir}/a.safetensors`, encodeCheckpoint(checkpoint));
    await test(dataDir);
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
}

const config = { ...smallConfig, model: { name: "lm-resnet-14" }, initialCheckpoint: "a.safetensors" };

Deno.test("startingValues() are a checkpoint's, but for the last layer of other classes", async () => {
  await withCheckpoint(trained(record("lm-resnet-14", 10)), async (dataDir) => {
    for (const classes of [10, 3]) {
      const graph = record("lm-resnet-14", classes);
      const checkpoint = await readInitialCheckpoint(dataDir, config, graph);
      const values = startingValues(graph.parameters, 1, checkpoint?.parameters);
      const random = initialValues(graph.parameters, 1);
      for (const [name, data] of values) {
        const isRandom = classes === 3 && name.startsWith("head.linear.");
        assertEquals(data, isRandom ? random.get(name) : data.map(() => 7), name);
      }
    }
  });
});

Deno.test("readInitialCheckpoint() says what a checkpoint of another network lacks", async () => {
  const graph = record("lm-resnet-14", 10);
  await withCheckpoint(trained(record("resnet-14", 10)), async (dataDir) => {
    const error = await assertRejects(() => readInitialCheckpoint(dataDir, config, graph), EngineError);
    assertEquals(
      error.message,
      'Cannot start lm-resnet-14 from the checkpoint "a.safetensors", which is of lm-resnet-8: ' +
        'it has no "stage1.block1.k"',
    );
    assertEquals(await readInitialCheckpoint(dataDir, { ...config, initialCheckpoint: undefined }, graph), undefined);
  });
});

Deno.test("readInitialCheckpoint() refuses a checkpoint that has more than the network, such as coefficients k", async () => {
  await withCheckpoint(trained(record("lm-resnet-14", 10)), async (dataDir) => {
    const plain = { ...config, model: { name: "resnet-14" } };
    const error = await assertRejects(
      () => readInitialCheckpoint(dataDir, plain, record("resnet-14", 10)),
      EngineError,
    );
    assertEquals(error.kind, "invalid");
    assertMatch(error.message, /: the network has no "stage1\.block1\.k"$/);
  });
});
