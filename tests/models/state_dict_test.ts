/** State dicts of PyTorch: tests/golden/state_dicts.py wrote the files, and their networks' logits. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Graph } from "../../src/gpu/mod.ts";
import {
  buildNetwork,
  CheckpointError,
  classesIn,
  type ModelSpec,
  networkVariables,
  type NetworkWeights,
  readSafetensors,
  readStateDict,
  writeSafetensors,
  writeStateDict,
} from "../../src/models/mod.ts";
import { pytorchNames } from "../../src/models/checkpoints/pytorch_names.ts";
import type { SafetensorsFile } from "../../src/models/checkpoints/safetensors.ts";
import { assertClose, loadGolden } from "../support/golden.ts";
import { runGraph } from "../support/graph_runner.ts";
import { normalisedImages, readStateDictFile, stateDicts } from "../support/state_dicts.ts";

const input = { height: 32, width: 32, channels: 3 };

async function logitsOf(model: ModelSpec, weights: NetworkWeights, name: string): Promise<Float32Array> {
  const images = await normalisedImages(name);
  const graph = new Graph({ training: false });
  const source = graph.source("images", images.shape);
  const logits = buildNetwork(graph, model, source, {
    classes: weights.parameters.get("head.linear.bias")!.data.length,
  });
  const data = (tensors: NetworkWeights["states"]) => new Map([...tensors].map(([name, { data }]) => [name, data]));
  const { values } = await runGraph(graph, {
    sources: new Map([[source, images.data]]),
    parameters: data(weights.parameters),
    states: data(weights.states),
    keep: [logits],
  });
  return values.get(logits)!;
}

for (const { name, model, classes } of stateDicts) {
  Deno.test(`readStateDict() gives a network PyTorch's logits: ${name}`, async () => {
    const { tensors } = await readStateDictFile(name);
    assertEquals(classesIn(tensors), classes);
    const weights = readStateDict(tensors, networkVariables(model, input, classes));
    const expected = (await loadGolden("state_dicts")).data(`${name}.logits`);
    assertClose(await logitsOf(model, weights, name), expected, { tolerance: 1e-4, what: "logits" });
  });

  Deno.test(`writeStateDict() writes what readStateDict() reads, and all of it: ${name}`, async () => {
    const { tensors } = await readStateDictFile(name);
    const variables = networkVariables(model, input, classes);
    const weights = readStateDict(tensors, variables);
    const written = readSafetensors(writeStateDict(weights, variables, { steps: 7 }));
    const shapes = ({ tensors }: Pick<SafetensorsFile, "tensors">) =>
      Object.entries(tensors).map(([name, { shape }]) => `${name} [${shape}]`).sort();
    assertEquals(shapes(written), shapes({ tensors }));
    assertEquals(readStateDict(written.tensors, variables), weights);
    assertEquals(written.tensors["bn1.num_batches_tracked"] ?? written.tensors["bn.num_batches_tracked"], {
      dtype: "I64",
      shape: [],
      data: BigInt64Array.of(7n),
    });
    assertEquals(written.metadata, { format: "pt" });
  });
}

Deno.test("readStateDict() takes the names of checkpoints, and those of nn.DataParallel", async () => {
  const [{ name, model, classes }] = stateDicts;
  const { tensors } = await readStateDictFile(name);
  const variables = networkVariables(model, input, classes);
  const weights = readStateDict(tensors, variables);
  const own = [...weights.parameters, ...weights.states].map(([name, { shape, data }]) =>
    [name, {
      dtype: "F32",
      shape,
      data,
    }] as const
  );
  assertEquals(readStateDict(Object.fromEntries(own), variables), weights);
  const parallel = Object.entries(tensors).map(([name, tensor]) => [`module.${name}`, tensor]);
  assertEquals(readStateDict(Object.fromEntries(parallel), variables), weights);
});

/** Tensors of one value each, as a file has them. */
function filled(shapes: Iterable<readonly [string, readonly number[]]>, value = 0): SafetensorsFile["tensors"] {
  return Object.fromEntries([...shapes].map(([name, shape]) => {
    const data = new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(value);
    return [name, { dtype: "F32" as const, shape, data }];
  }));
}

Deno.test("readStateDict() takes a scalar k, and k of [1, C, 1, 1] for channels", () => {
  for (const perChannelCoefficients of [false, true]) {
    const variables = networkVariables({ name: "lm-resnet-14", perChannelCoefficients }, input, 10);
    const shapes = [...variables.parameters, ...variables.states].map(([name, shape]) => {
      if (!name.endsWith(".k")) return [name, shape] as const;
      return [name, perChannelCoefficients ? [1, ...shape, 1, 1] : []] as const;
    });
    const { parameters } = readStateDict(filled(shapes, 0.25), variables);
    const shape = perChannelCoefficients ? [64] : [1];
    assertEquals(parameters.get("stage3.block1.k"), { shape, data: new Float32Array(shape[0]).fill(0.25) });
  }
});

Deno.test("readStateDict() reads F64, and a file that was written in any of the types", () => {
  const variables = { parameters: new Map([["head.linear.bias", [3]]]), states: new Map() };
  const values = [1.5, -0.15625, 3];
  const halves = (bits: number[]) => new Uint8Array(Uint16Array.from(bits).buffer);
  const tensors = [
    { dtype: "F64", data: Float64Array.from(values) },
    { dtype: "F32", data: Float32Array.from(values) },
    { dtype: "F16", data: halves([0x3e00, 0xb100, 0x4200]) },
    { dtype: "BF16", data: halves([0x3fc0, 0xbe20, 0x4040]) },
  ] as const;
  for (const tensor of tensors) {
    const { tensors } = readSafetensors(writeSafetensors({ "fc.bias": { shape: [3], ...tensor } }));
    const weights = readStateDict(tensors, variables).parameters.get("head.linear.bias");
    assertEquals(weights, { shape: [3], data: Float32Array.from(values) }, tensor.dtype);
  }
});

Deno.test("readStateDict() tells all that is wrong at once", async () => {
  const [{ name, model }] = stateDicts;
  const { tensors } = await readStateDictFile(name);
  const { "conv1.weight": _, ...rest } = tensors;
  const broken = {
    ...rest,
    "fc2.weight": tensors["fc.weight"],
    "bn.bias": { dtype: "I32", shape: [64], data: new Int32Array(64) } as const,
    "layer1.1.k": { dtype: "F32", shape: [1], data: Float32Array.of(NaN) } as const,
  };
  const error = assertThrows(() => readStateDict(broken, networkVariables(model, input, 100)), CheckpointError);
  assertEquals(
    error.message,
    "Cannot use the weights for the network: it lacks conv1.weight; not all values are finite in layer1.1.k; " +
      "of a type other than F32, F16, BF16 and F64 are bn.bias (I32); " +
      "of another shape are fc.weight ([10,64], not [100,64]), fc.bias ([10], not [100]); the network has no fc2.weight",
  );
  const all = assertThrows(() => readStateDict({}, networkVariables(model, input, 10)), CheckpointError);
  const first = "conv1.weight, layer1.0.bn1.weight, layer1.0.bn1.bias, layer1.0.conv1.weight, layer1.0.bn2.weight";
  assert(all.message.endsWith(`it lacks ${first} and 108 more`), all.message);
});

/** torchvision.models.resnet50().state_dict() and resnext50_32x4d(), written down from its source. */
function torchvisionShapes({ depths, innerOf }: { depths: readonly number[]; innerOf(stage: number): number }) {
  const shapes = new Map<string, readonly number[]>();
  const bn = (name: string, channels: number) => {
    for (const leaf of ["weight", "bias", "running_mean", "running_var"]) shapes.set(`${name}.${leaf}`, [channels]);
    shapes.set(`${name}.num_batches_tracked`, []);
  };
  shapes.set("conv1.weight", [64, 3, 7, 7]);
  bn("bn1", 64);
  let channels = 64;
  depths.forEach((blocks, stage) => {
    const [outputs, inner] = [256 * 2 ** stage, innerOf(stage)];
    const groups = inner / (64 * 2 ** stage) === 2 ? 32 : 1;
    for (let block = 0; block < blocks; block++) {
      const name = `layer${stage + 1}.${block}`;
      shapes.set(`${name}.conv1.weight`, [inner, channels, 1, 1]);
      bn(`${name}.bn1`, inner);
      shapes.set(`${name}.conv2.weight`, [inner, inner / groups, 3, 3]);
      bn(`${name}.bn2`, inner);
      shapes.set(`${name}.conv3.weight`, [outputs, inner, 1, 1]);
      bn(`${name}.bn3`, outputs);
      if (block === 0) {
        shapes.set(`${name}.downsample.0.weight`, [outputs, channels, 1, 1]);
        bn(`${name}.downsample.1`, outputs);
      }
      channels = outputs;
    }
  });
  shapes.set("fc.weight", [1000, 2048]);
  shapes.set("fc.bias", [1000]);
  return shapes;
}

Deno.test("resnet-50 and resnext-50-32x4d have the names and shapes of torchvision's state dicts", () => {
  const depths = [3, 4, 6, 3];
  const networks = {
    "resnet-50": torchvisionShapes({ depths, innerOf: (stage) => 64 * 2 ** stage }),
    "resnext-50-32x4d": torchvisionShapes({ depths, innerOf: (stage) => 128 * 2 ** stage }),
  };
  for (const [name, expected] of Object.entries(networks)) {
    const { parameters, states } = networkVariables({ name }, { height: 224, width: 224, channels: 3 }, 1000);
    const shapes = new Map([...parameters, ...states]);
    const names = pytorchNames([...shapes.keys()]);
    const actual = [...names].map(([own, stored]) => `${stored} [${shapes.get(own)}]`);
    const listed = [...expected].filter(([name]) => !name.endsWith("num_batches_tracked"));
    assertEquals(actual.sort(), listed.map(([name, shape]) => `${name} [${shape}]`).sort());
  }
});

Deno.test("pytorchNames() numbers the layers of shortcuts as nn.Sequential does", () => {
  const named = (spec: ModelSpec) => {
    const { parameters, states } = networkVariables(spec, input, 10);
    const names = pytorchNames([...parameters.keys(), ...states.keys()]);
    return [...names.values()].filter((name) => /^layer2\.0\..*downsample/.test(name)).sort();
  };
  const bn = (name: string) => ["bias", "running_mean", "running_var", "weight"].map((leaf) => `${name}.${leaf}`);
  assertEquals(named({ name: "resnet-14", activation: "post" }), [
    "layer2.0.downsample.0.weight",
    ...bn("layer2.0.downsample.1"),
  ]);
  assertEquals(named({ name: "lm-resnet-14", transition: "project_both" }), [
    ...bn("layer2.0.downsample.0"),
    "layer2.0.downsample.2.weight",
    ...bn("layer2.0.history_downsample.0"),
    "layer2.0.history_downsample.2.weight",
  ]);
  assertEquals(named({ name: "resnet-14", shortcut: "bare_projection" }), ["layer2.0.downsample.0.weight"]);
  assertEquals(named({ name: "resnet-14", shortcut: "zero_pad" }), []);
});
