/** The whole service: the real engine and data sets behind the real server, used by grpc-js. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { DatasetRegistry, encodePng } from "../../src/data/mod.ts";
import { startEngine } from "../../src/engine/mod.ts";
import { startServer } from "../../src/server/mod.ts";
import { assertStatus, type EventMessage, GrpcClient, type RunMessage, Status } from "../support/grpc_client.ts";

const config = {
  model: { name: "lm-resnet-8" },
  dataset: "mnist",
  epochs: 1,
  batch_size: 32,
  limit_train: 64,
  limit_test: 32,
};

interface Prediction {
  top: { class_name: string; probability: number }[];
}

Deno.test("grpc-js uses a server with the real engine from training to inference, bad input in between", async (t) => {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-service-" });
  const server = await startServer({
    listen: "127.0.0.1:0",
    dataDir,
    engine: (folder) => startEngine({ dataDir: folder }),
    log: () => {},
    // Every step is told.
    runs: { metricsInterval: 0 },
  });
  using client = new GrpcClient(server.address);
  try {
    let run = "";
    await t.step("Train, GetRun", async () => {
      const events = await client.collect<EventMessage>("TrainingService/Train", { config });
      run = events[0].event.run;
      const answer = await client.unary<{ run: RunMessage }>("TrainingService/GetRun", { name: run });
      assertEquals([answer.run.state, answer.run.progress?.step], ["RUN_STATE_SUCCEEDED", 2]);
      assertEquals(answer.run.checkpoints.length, 1);
    });

    await t.step("bad configurations", async () => {
      const train = (change: object) => client.collect("TrainingService/Train", { config: { ...config, ...change } });
      await assertStatus(train({ batch_size: 0 }), Status.INVALID_ARGUMENT, "batch_size");
      await assertStatus(train({ model: { name: "lm-resnet-21" } }), Status.INVALID_ARGUMENT, "lm-resnet-20");
      await assertStatus(train({ dataset: "nope" }), Status.NOT_FOUND, "mnist");
      const huge = { model: { name: "resnext-29-8x64d" }, batch_size: 8000, limit_train: 8000 };
      await assertStatus(train(huge), Status.RESOURCE_EXHAUSTED, "the largest batch that fits is");
    });

    await t.step("Evaluate", async () => {
      const answers = await client.collect<{ result?: { metrics: { images: number } } }>("InferenceService/Evaluate", {
        source: { run },
        limit: 20,
      });
      assertEquals(answers.at(-1)?.result?.metrics.images, 20);
    });

    await t.step("Infer: bad images are named, good ones answered", async () => {
      const registry = new DatasetRegistry(dataDir);
      const { pixels } = await registry.load("mnist", "test");
      const png = await encodePng(pixels.slice(0, 784), await registry.describe("mnist"));
      const wide = await encodePng(new Uint8Array(20_000), { height: 1, width: 20_000, channels: 1 });
      const infer = (...files: Uint8Array[]) =>
        client.unary<{ predictions: Prediction[] }>("InferenceService/Infer", {
          source: { run },
          images: files.map((encoded) => ({ encoded })),
        });
      await assertStatus(infer(png, png.slice(0, 150)), Status.INVALID_ARGUMENT, "images[1]: Image is truncated");
      await assertStatus(infer(wide), Status.INVALID_ARGUMENT, "20000");
      await assertStatus(infer(new TextEncoder().encode("GIF89a")), Status.INVALID_ARGUMENT, "only PNG, JPEG and WebP");
      const { predictions } = await infer(png, png);
      assertEquals(predictions.length, 2);
      assertEquals(predictions[0].top.length, 5);
      assertEquals(predictions[0].top[0].class_name, predictions[1].top[0].class_name);
      const answers = await client.exchange<{ id: string; outcome: string }>("InferenceService/StreamInfer", [
        { id: "a", source: { run }, image: { encoded: png } },
        { id: "b", image: { encoded: png.slice(0, 150) } },
      ]);
      const outcomes = answers.map(({ id, outcome }) => `${id} ${outcome}`).sort();
      assertEquals(outcomes, ["a prediction", "b error"]);
    });

    await t.step("Infer is answered within some steps of a run that trains, which goes on", async () => {
      const call = client.stream("TrainingService/Train", { config: { ...config, limit_train: 960, epochs: 1000 } });
      call.on("error", () => {});
      const { event: { run: name } } = await new Promise<EventMessage>((resolve) => call.once("data", resolve));
      const stepOf = async () =>
        (await client.unary<{ run: RunMessage }>("TrainingService/GetRun", { name })).run.progress?.step ?? 0;
      while (await stepOf() < 2);
      const raw = { height: 28, width: 28, channels: 1, pixels: new Uint8Array(784) };
      const waited: number[] = [];
      for (let round = 0; round < 6; round++) {
        const before = await stepOf();
        await client.unary("InferenceService/Infer", { source: { run }, images: [{ raw }] });
        waited.push(await stepOf() - before);
      }
      // The steps in flight, those told late, and room for a slow machine.
      assert(Math.max(...waited) <= 6, `steps meanwhile: ${waited}`);
      await client.unary("TrainingService/CancelRun", { name });
      while ((await client.unary<{ run: RunMessage }>("TrainingService/GetRun", { name })).run.end_time === null);
    });

    await t.step("CancelRun ends a training run, and GetServerInfo is answered while it trains", async () => {
      let cancelled = "";
      let last = "";
      for await (const answer of client.stream("TrainingService/Train", { config: { ...config, epochs: 1000 } })) {
        const { event } = answer as EventMessage;
        last = event.state_changed?.state ?? last;
        if (event.kind !== "progress" || cancelled !== "") continue;
        const info = await client.unary<{ active_run: string; adapter: { description: string } }>(
          "CatalogService/GetServerInfo",
        );
        assertEquals(info.active_run, event.run);
        assert(info.adapter.description !== "");
        cancelled = event.run;
        await client.unary("TrainingService/CancelRun", { name: event.run });
      }
      assertEquals(last, "RUN_STATE_CANCELLED");
      const { runs } = await client.unary<{ runs: RunMessage[] }>("TrainingService/ListRuns");
      const states = ["RUN_STATE_CANCELLED", "RUN_STATE_CANCELLED", "RUN_STATE_SUCCEEDED"];
      assertEquals(runs.map(({ state }) => state), states);
      assertStringIncludes(runs[2].name, run);
    });
  } finally {
    await server.close();
    await Deno.remove(dataDir, { recursive: true });
  }
});
