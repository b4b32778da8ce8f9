import { join } from "node:path";
import { assertEquals, assertRejects } from "@std/assert";
import { RequestError } from "../../src/server/errors.ts";
import { ModelExports } from "../../src/server/model_exports.ts";
import type { Run } from "../../src/server/runs/run.ts";
import { FakeEngine } from "../support/fake_engine.ts";
import { type Fixture, quick, withRuns } from "../support/training_runs.ts";

const idleTime = 500;
const piece = {
  which: { kind: "newest" },
  optimizerState: true,
  format: "checkpoint",
  offset: 0,
  limit: 2 ** 20,
} as const;

function withExports(test: (parts: Fixture & { exports: ModelExports; run: Run }) => Promise<void>) {
  return withRuns(async (fixture) => {
    const { runs, engine, folder, start, events } = fixture;
    const id = await start({ ...quick, epochs: 14 });
    await events(id);
    const exports = new ModelExports({ engine, dataDir: folder, idleTime });
    try {
      await test({ ...fixture, exports, run: runs.get(id) });
    } finally {
      exports.close();
    }
  }, { fake: { everyEpoch: true, stepTime: 0 } });
}

Deno.test(
  "ModelExports.read() gives pieces that join to the whole, exported once",
  withExports(async ({ exports, engine, folder, run }) => {
    const bytes: number[] = [];
    const { totalBytes, sha256 } = await exports.read(run, piece);
    while (bytes.length < totalBytes) {
      const { data, ...rest } = await exports.read(run, { ...piece, offset: bytes.length, limit: 7 });
      assertEquals([rest.totalBytes, rest.sha256], [totalBytes, sha256]);
      bytes.push(...data);
    }
    const file = Deno.readFileSync(join(folder, run.checkpoints.at(-1)?.path ?? ""));
    assertEquals(Uint8Array.from(bytes), file);
    assertEquals(new Uint8Array(await crypto.subtle.digest("SHA-256", file)).toHex(), sha256);
    assertEquals((await exports.read(run, { ...piece, offset: totalBytes })).data.length, 0);
    assertEquals(engine.exports, 1);
    const past = () => exports.read(run, { ...piece, offset: totalBytes + 1 });
    assertEquals((await assertRejects(past, RequestError, `at most ${totalBytes}`)).kind, "out-of-range");
  }),
);

Deno.test(
  "ModelExports.read() tells the newest checkpoint from the best, and weights from all",
  withExports(async ({ exports, engine, run }) => {
    const newest = await exports.read(run, piece);
    const best = await exports.read(run, { ...piece, which: { kind: "best" } });
    assertEquals([newest.checkpoint.step, newest.checkpoint.best], [56, false]);
    assertEquals([best.checkpoint.step, best.checkpoint.best], [4, true]);
    const weights = await exports.read(run, { ...piece, optimizerState: false });
    assertEquals(
      new TextDecoder().decode(weights.data),
      String(JSON.parse(new TextDecoder().decode(newest.data)).weights),
    );
    assertEquals(engine.exports, 3);
  }),
);

Deno.test(
  "ModelExports.read() goes on reading a checkpoint that was deleted meanwhile, for some time",
  withExports(async ({ exports, folder, run }) => {
    const { checkpoint: { path }, data } = await exports.read(run, piece);
    Deno.removeSync(join(folder, path));
    const gone = { ...run, checkpoints: [] };
    const which = { kind: "path", path } as const;
    assertEquals((await exports.read(gone, { ...piece, which })).data, data);
    await new Promise((resolve) => setTimeout(resolve, 2 * idleTime));
    const error = await assertRejects(() => exports.read(gone, { ...piece, which }), RequestError, "any more");
    assertEquals(error.kind, "not-found");
  }),
);

Deno.test(
  "ModelExports.read() refuses what a run does not have",
  withExports(async ({ exports, run }) => {
    const none = { ...run, checkpoints: [] };
    const newest = () => exports.read(none, piece);
    assertEquals((await assertRejects(newest, RequestError, "has no checkpoint")).kind, "failed-precondition");
    const unrated = { ...run, checkpoints: run.checkpoints.map((one) => ({ ...one, best: false })) };
    await assertRejects(
      () => exports.read(unrated, { ...piece, which: { kind: "best" } }),
      RequestError,
      "no checkpoint that was evaluated",
    );
    const other = { kind: "path", path: "../../etc/passwd" } as const;
    await assertRejects(() => exports.read(run, { ...piece, which: other }), RequestError, '"../../etc/passwd"');
  }),
);

Deno.test("ModelExports holds a bounded number of files, and a failure is not kept", async () => {
  const folder = Deno.makeTempDirSync();
  const engine = new FakeEngine(folder);
  const exports = new ModelExports({ engine, dataDir: folder });
  const checkpoints = Array.from(
    { length: 20 },
    (_, step) => ({ path: `c${step}`, step, epoch: 0, bytes: 1, best: false }),
  );
  const run = { id: "a", checkpoints } as unknown as Run;
  const read = (path: string) => exports.read(run, { ...piece, which: { kind: "path", path } });
  await assertRejects(() => read("c0"), Deno.errors.NotFound);
  for (const { path } of checkpoints) Deno.writeTextFileSync(join(folder, path), path);
  for (const { path } of checkpoints) assertEquals(new TextDecoder().decode((await read(path)).data), path);
  await read("c19");
  assertEquals(engine.exports, 21);
  await read("c0");
  assertEquals(engine.exports, 22);
  exports.close();
  Deno.removeSync(folder, { recursive: true });
});
