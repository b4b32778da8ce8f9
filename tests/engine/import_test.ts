/** Weights that PyTorch wrote, in the real engine: imported, used, exported again, and trained on. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { type Engine, EngineError, type ImportedNetwork, startEngine } from "../../src/engine/mod.ts";
import { decodeCheckpoint, encodeCheckpoint, readSafetensors } from "../../src/models/mod.ts";
import { assertClose, loadGolden } from "../support/golden.ts";
import { hasPyTorch, runPyTorch, skippedWithoutPyTorch } from "../support/pytorch.ts";
import { smallConfig } from "../support/small_training.ts";
import { imagesOf, normalisation, type StateDict, stateDictPath, stateDicts } from "../support/state_dicts.ts";

const never = new AbortController().signal;

async function networkOf({ model }: StateDict): Promise<ImportedNetwork> {
  return { model, trainedOn: { height: 32, width: 32, channels: 3, ...await normalisation() } };
}

async function importAll(engine: Engine): Promise<string[]> {
  return await Promise.all(stateDicts.map(async (dict) => {
    const [source, name] = [stateDictPath(dict.name).pathname, dict.name.replaceAll("_", "-")];
    const { checkpoint } = await engine.importModel({ source, name, network: await networkOf(dict) }, never);
    return checkpoint.path;
  }));
}

/** Row by row of logits. */
function softmax(logits: Float64Array, classes: number): Float64Array {
  const exponentials = logits.map(Math.exp);
  return exponentials.map((value, i) => {
    const row = i - i % classes;
    return value / exponentials.subarray(row, row + classes).reduce((sum, other) => sum + other, 0);
  });
}

async function requireError(kind: EngineError["kind"], text: string, run: () => Promise<unknown>): Promise<void> {
  const error = await assertRejects(run, EngineError, text);
  assertEquals(error.kind, kind);
}

Deno.test(`startEngine() gives an engine that imports networks of PyTorch${skippedWithoutPyTorch}`, async (t) => {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-import-" });
  const engine = await startEngine({ dataDir });
  try {
    const read = async (path: string) => decodeCheckpoint(await Deno.readFile(`${dataDir}/${path}`));
    let paths: string[] = [];
    await t.step("importModel() makes checkpoints that infer as PyTorch does", async () => {
      paths = await importAll(engine);
      assertEquals(paths, ["models/lm-resnet-20.safetensors", "models/resnet.safetensors"]);
      for (const [i, { name, classes }] of stateDicts.entries()) {
        const { shape: [images], data } = await imagesOf(name);
        const pixels = Uint8Array.from(data);
        const { probabilities, classNames } = await engine.infer({ checkpoint: paths[i], pixels, images }, never);
        assertEquals(classNames, Array.from({ length: classes }, (_, index) => `${index}`));
        const expected = softmax((await loadGolden("state_dicts")).data(`${name}.logits`), classes);
        assertClose(probabilities, expected, { tolerance: 1e-4, what: name });
      }
    });

    for (const [i, { name, classes }] of stateDicts.entries()) {
      await t.step({
        name: `exportModel() writes state dicts that PyTorch loads strictly, with the same logits: ${name}`,
        ignore: !hasPyTorch,
        async fn() {
          const job = { checkpoint: paths[i], optimizerState: false, format: "pytorch" } as const;
          const { path } = await engine.exportModel(job, never);
          const logits: number[][] = JSON.parse(await runPyTorch("state_dicts.py", [name, `${dataDir}/${path}`]));
          const expected = (await loadGolden("state_dicts")).data(`${name}.logits`);
          assertEquals(logits[0].length, classes);
          assertClose(logits.flat(), expected, { tolerance: 1e-6, what: name });
        },
      });
    }

    await t.step("importModel() takes what exportModel() wrote, without being told the model", async () => {
      const { path } = await engine.exportModel(
        { checkpoint: paths[0], optimizerState: true, format: "checkpoint" },
        never,
      );
      const { checkpoint, description } = await engine.importModel({ source: `${dataDir}/${path}`, name: "b" }, never);
      assertEquals([checkpoint.path, description.model.name], ["models/b.safetensors", "lm-resnet-20"]);
      assertEquals(await read(checkpoint.path), await read(paths[0]));
    });

    await t.step("blocks scaled in evaluation stay so when imported, and cannot be a state dict", async () => {
      const stochastic = { depth: { survival: 0.5, rule: "one_based", scaling: "test" } };
      const source = `${dataDir}/scaled.safetensors`;
      await Deno.writeFile(source, encodeCheckpoint({ ...await read(paths[0]), configuration: { stochastic } }));
      const { checkpoint } = await engine.importModel({ source, name: "scaled" }, never);
      assertEquals((await read(checkpoint.path)).configuration, { stochastic });
      const job = { checkpoint: checkpoint.path, optimizerState: false, format: "pytorch" } as const;
      await requireError("unsupported", "drop_scaling TEST", () => engine.exportModel(job, never));
    });

    await t.step("importModel() refuses what it cannot use, and leaves nothing behind", async () => {
      const [dict] = stateDicts;
      const [source, network] = [stateDictPath(dict.name).pathname, await networkOf(dict)];
      const [pickle, missing] = [`${dataDir}/weights.pth`, `${dataDir}/none`];
      await Deno.writeFile(pickle, Uint8Array.of(0x50, 0x4b, 3, 4, 0, 0, 0, 0, 0, 0));
      const wide = { ...network, trainedOn: { ...network.trainedOn, classNames: ["cat", "dog"] } };
      await requireError("exists", '"b"', () => engine.importModel({ source, name: "b", network }, never));
      await requireError(
        "not-found",
        "the file",
        () => engine.importModel({ source: missing, name: "c", network }, never),
      );
      await requireError(
        "invalid",
        "torch.save()",
        () => engine.importModel({ source: pickle, name: "c", network }, never),
      );
      await requireError(
        "invalid",
        "no checkpoint of Multistep",
        () => engine.importModel({ source, name: "c" }, never),
      );
      await requireError(
        "invalid",
        "of another shape are fc.weight ([10,64], not [2,64]), fc.bias ([10], not [2])",
        () => engine.importModel({ source, name: "c", network: wide }, never),
      );
      // Its images have one channel.
      const digits = { ...network, trainedOn: { dataset: "mnist" } };
      await requireError(
        "invalid",
        "of another shape are conv1.weight ([16,3,3,3], not [16,1,3,3])",
        () => engine.importModel({ source, name: "c", network: digits }, never),
      );
      const model = { name: "lm-resnet-21" };
      await requireError(
        "invalid",
        '"lm-resnet-21"',
        () => engine.importModel({ source, name: "c", network: { ...network, model } }, never),
      );
      assertEquals([...Deno.readDirSync(`${dataDir}/models`)].map(({ name }) => name).sort(), [
        "b.safetensors",
        "lm-resnet-20.safetensors",
        "resnet.safetensors",
        "scaled.safetensors",
      ]);
    });

    await t.step("evaluate() asks for the data set of a model that was imported without", async () => {
      const job = { checkpoint: paths[0], split: "test", batchSize: 8 } as const;
      await requireError("invalid", "name one", () => Array.fromAsync(engine.evaluate(job, never)));
    });

    await t.step(
      "train() starts from a checkpoint's weights, and the exported state dict counts its steps",
      async () => {
        // So small a rate changes nothing that f32 can tell.
        const config = { ...smallConfig, epochs: 1, milestones: [], learningRate: 1e-30, weightDecay: 0 };
        const train = async (initialCheckpoint: string | undefined, folder: string, seed: number) => {
          const job = { config: { ...config, seed, initialCheckpoint }, folder, resume: false };
          const events = await Array.fromAsync(engine.train(job, never));
          const { path } = events.flatMap((event) => event.kind === "checkpoint" ? [event.checkpoint] : []).at(-1)!;
          return path;
        };
        const first = await train(undefined, "runs/first", 1);
        const second = await train(first, "runs/second", 2);
        const [a, b] = [await read(first), await read(second)];
        const weights = [a, b].map(({ parameters }) =>
          [...parameters].filter(([name]) => /conv|linear.weight/.test(name))
        );
        assertEquals(weights[1], weights[0]);
        const random = (await read(await train(undefined, "runs/third", 2))).parameters.get("stem.conv.weight");
        assert(b.parameters.get("stem.conv.weight")!.data.some((value, i) => value !== random!.data[i]));
        const mean = "stage1.block0.bn1.running_mean";
        assert(
          b.states.get(mean)!.data.some((value, i) => value !== a.states.get(mean)!.data[i]),
          "it was not trained on",
        );

        const job = { checkpoint: second, optimizerState: false, format: "pytorch" } as const;
        const { path } = await engine.exportModel(job, never);
        const { tensors } = readSafetensors(await Deno.readFile(`${dataDir}/${path}`));
        assertEquals(tensors["layer1.0.bn1.num_batches_tracked"].data, BigInt64Array.of(BigInt(b.position.step)));
        assertEquals(tensors["fc.weight"].shape, [10, 64]);

        const misfit = { ...config, initialCheckpoint: paths[0] };
        const error = await assertRejects(() => engine.check(misfit), EngineError);
        assertStringIncludes(error.message, `Cannot start lm-resnet-8 from the checkpoint "${paths[0]}"`);
        assertStringIncludes(
          error.message,
          'its "stem.conv.weight" has shape [16,3,3,3], the network\'s is [16,1,3,3]',
        );
        await requireError(
          "not-found",
          '"models/none"',
          () => engine.check({ ...config, initialCheckpoint: "models/none" }),
        );
      },
    );
  } finally {
    await engine.close();
    await Deno.remove(dataDir, { recursive: true });
  }
});
