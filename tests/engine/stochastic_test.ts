/** Chance in training through the real engine: networks that evaluation scales, and what a configuration says wrong. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { EngineError, startEngine, type TrainingConfig } from "../../src/engine/mod.ts";
import { smallConfig } from "../support/small_training.ts";

const never = new AbortController().signal;

const short: TrainingConfig = { ...smallConfig, epochs: 1, milestones: [], limitTrain: 16 };
const runs: readonly (readonly [string, TrainingConfig])[] = [
  ["stochastic depth that evaluation scales, and noise", {
    ...short,
    stochastic: {
      depth: { survival: 0.3, rule: "one_based", scaling: "test" },
      noise: { kind: "gaussian_then_uniform", sigma: 0.001 },
    },
  }],
  ["shake-shake", { ...short, model: { name: "polynet-2way-8" }, stochastic: { shakeShake: true } }],
  ["drop-path", {
    ...short,
    model: { name: "fractalnet-8" },
    stochastic: { dropPath: { rate: 0.3, globalShare: 0.5 } },
  }],
];

Deno.test("a network trained by chance evaluates and infers from its checkpoint as it did in its run", async (t) => {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-stochastic-" });
  const engine = await startEngine({ dataDir });
  try {
    for (const [index, [what, config]] of runs.entries()) {
      await t.step(what, async () => {
        const job = { config, folder: `runs/run${index}`, resume: false };
        const events = await Array.fromAsync(engine.train(job, never));
        const during = events.findLast((event) => event.kind === "evaluation");
        const end = events.findLast((event) => event.kind === "checkpoint");
        assert(during?.kind === "evaluation" && end?.kind === "checkpoint");
        const checkpoint = end.checkpoint.path;
        const evaluation = { checkpoint, split: "test", batchSize: 16, limit: 16 } as const;
        const last = (await Array.fromAsync(engine.evaluate(evaluation, never))).at(-1);
        assert(last?.kind === "result");
        const difference = Math.abs(last.result.metrics.loss - during.metrics.loss);
        assert(difference < 1e-5, `the losses differ by ${difference}`);
        const { probabilities } = await engine.infer({ checkpoint, pixels: new Uint8Array(784), images: 1 }, never);
        assert(probabilities.every((value) => value >= 0 && value <= 1), "probabilities are finite");

        // Of the file alone, as on another server.
        const source = `${dataDir}/${checkpoint}`;
        const imported = await engine.importModel({ source, name: `imported-${index}` }, never);
        const again = { checkpoint: imported.checkpoint.path, pixels: new Uint8Array(784), images: 1 };
        assertEquals((await engine.infer(again, never)).probabilities, probabilities);
      });
    }

    await t.step("check() says which chance a network has no place for", async () => {
      const stochastic = { dropPath: { rate: 0.15, globalShare: 0.5 } };
      const error = await assertRejects(() => engine.check({ ...short, stochastic }), EngineError);
      assertEquals([error.kind, error.message.split(":")[0]], ["invalid", 'Cannot use drop-path with "lm-resnet-8"']);
    });
  } finally {
    await engine.close();
    await Deno.remove(dataDir, { recursive: true });
  }
});
