import { assert, assertEquals, assertRejects } from "@std/assert";
import { CheckpointFolder } from "../../src/engine/checkpoint_folder.ts";
import { EngineError } from "../../src/engine/mod.ts";
import type { Checkpoint } from "../../src/models/mod.ts";
import { checkpointAt } from "../support/checkpoints.ts";

const run = "runs/a";

function withFolder(test: (folder: CheckpointFolder, path: string) => Promise<void>): () => Promise<void> {
  return async () => {
    const dataDir = await Deno.makeTempDir({ prefix: "multistep-checkpoints-" });
    try {
      const folder = new CheckpointFolder(dataDir, run);
      await folder.open();
      await test(folder, `${dataDir}/${run}/checkpoints`);
    } finally {
      await Deno.remove(dataDir, { recursive: true });
    }
  };
}

async function write(folder: CheckpointFolder, checkpoint: Checkpoint, keep: number) {
  await using staged = await folder.stage(checkpoint);
  return await staged.publish(keep);
}

const stepsOf = (paths: readonly string[]) => paths.map((path) => Number(path.match(/step-(\d+)/)?.[1]));
const namesIn = (path: string) => [...Deno.readDirSync(path)].map(({ name }) => name).sort();
const accept = () => {};

Deno.test(
  "CheckpointFolder keeps the newest and the best",
  withFolder(async (folder, path) => {
    const best = { step: 2, top1: 0.9, loss: 0.1 };
    assertEquals(stepsOf((await write(folder, checkpointAt(1), 2)).kept), [1]);
    for (const step of [2, 3, 4]) await write(folder, checkpointAt(step, best), 2);
    const { kept, checkpoint } = await write(folder, checkpointAt(5, best), 2);
    assertEquals(stepsOf(kept), [2, 4, 5]);
    assertEquals(stepsOf(namesIn(path)), [2, 4, 5]);
    assertEquals(checkpoint.path, `${run}/checkpoints/step-00000005.safetensors`);
    assertEquals(checkpoint.bytes, (await Deno.stat(`${path}/step-00000005.safetensors`)).size);
  }),
);

Deno.test(
  "CheckpointFolder gives a staged checkpoint no name before it is published, and leaves nothing of one that is not",
  withFolder(async (folder, path) => {
    {
      await using _staged = await folder.stage(checkpointAt(1));
      assertEquals((await folder.newest(accept)).found, undefined);
      assertEquals(namesIn(path), ["step-00000001.safetensors.partial"]);
    }
    assertEquals(namesIn(path), []);
  }),
);

Deno.test(
  "CheckpointFolder.open() removes what a killed writer has left",
  withFolder(async (folder, path) => {
    await Deno.writeTextFile(`${path}/step-00000009.safetensors.partial`, "half");
    await folder.open();
    assertEquals(namesIn(path), []);
  }),
);

Deno.test(
  "CheckpointFolder.newest() refuses cut, altered, empty and foreign files by name, and takes the one before",
  withFolder(async (folder, path) => {
    for (const step of [1, 2, 3, 4, 5]) await write(folder, checkpointAt(step), 9);
    const file = (step: number) => `${path}/step-0000000${step}.safetensors`;
    await Deno.truncate(file(2), 300);
    await Deno.truncate(file(3));
    const altered = await Deno.readFile(file(4));
    altered[altered.length - 3] ^= 1;
    await Deno.writeFile(file(4), altered);
    await Deno.writeTextFile(file(5), "not a checkpoint at all, but long enough to be one");
    await Deno.mkdir(file(6));
    const { found, refused } = await folder.newest(accept);
    assertEquals(found?.checkpoint, checkpointAt(1));
    assertEquals(stepsOf(refused.map((one) => one.path)), [5, 4, 3, 2]);
    assert(refused[1].reason.includes("checksum"), refused[1].reason);
    const picky = await folder.newest(() => {
      throw new EngineError("invalid", "It is of another run");
    });
    assertEquals([picky.found, picky.refused.length], [undefined, 5]);
  }),
);

Deno.test(
  "CheckpointFolder.stage() says that the disk is full, and leaves nothing there",
  { ignore: Deno.build.os !== "linux" },
  withFolder(async (folder, path) => {
    // A device that is always full, where the temporary file would be.
    await Deno.symlink("/dev/full", `${path}/step-00000001.safetensors.partial`);
    const error = await assertRejects(() => folder.stage(checkpointAt(1)), EngineError, "no space is left");
    assertEquals(error.kind, "storage");
    assertEquals(namesIn(path), []);
  }),
);
