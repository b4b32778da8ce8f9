import { join } from "node:path";
import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { holdDataFolder } from "../../src/server/data_folder.ts";
import { ServerError } from "../../src/server/errors.ts";
import { RunStore } from "../../src/server/runs/store.ts";
import { startTestServer } from "../support/test_server.ts";

function withFolder(test: (folder: string) => void | Promise<void>): () => Promise<void> {
  return async () => {
    const folder = Deno.makeTempDirSync();
    try {
      await test(folder);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  };
}

Deno.test(
  "holdDataFolder() makes a missing folder and its parents",
  withFolder((folder) => {
    const path = join(folder, "a", "b");
    const held = holdDataFolder(path);
    assertEquals(Deno.statSync(path).isDirectory, true);
    held.release();
  }),
);

Deno.test(
  "holdDataFolder() resolves symbolic links",
  withFolder((folder) => {
    Deno.mkdirSync(join(folder, "real"));
    Deno.symlinkSync(join(folder, "real"), join(folder, "link"));
    const held = holdDataFolder(join(folder, "link"));
    assertEquals(held.path, Deno.realPathSync(join(folder, "real")));
    held.release();
  }),
);

Deno.test(
  "holdDataFolder() refuses a file in its place, and a file as a parent",
  withFolder((folder) => {
    const file = join(folder, "file");
    Deno.writeTextFileSync(file, "");
    for (const path of [file, join(file, "data")]) {
      assertThrows(() => holdDataFolder(path), ServerError, `Cannot use "${path}" as the data folder`);
    }
  }),
);

Deno.test({
  name: "holdDataFolder() refuses a folder that cannot be written",
  // Root may write everywhere but in /proc and /sys.
  ignore: Deno.build.os !== "linux",
  fn() {
    const { message } = assertThrows(() => holdDataFolder("/proc/self"), ServerError, "data folder");
    assertStringIncludes(message, "Cannot write in the data folder");
  },
});

Deno.test({
  name: "holdDataFolder() refuses a folder whose permissions forbid writing",
  ignore: Deno.uid() === 0, // Root ignores permissions.
  fn: withFolder((folder) => {
    Deno.chmodSync(folder, 0o500);
    assertThrows(() => holdDataFolder(folder), ServerError, "permission denied");
    assertThrows(() => holdDataFolder(join(folder, "data")), ServerError, "permission denied");
    Deno.chmodSync(folder, 0o700);
  }),
});

Deno.test(
  "holdDataFolder() refuses a folder that another server holds, naming its process",
  withFolder((folder) => {
    const held = holdDataFolder(folder);
    assertThrows(() => holdDataFolder(folder), ServerError, `another server (process ${Deno.pid}) holds it`);
    held.release();
    holdDataFolder(folder).release();
  }),
);

Deno.test(
  "holdDataFolder() is not kept out by a server that was killed",
  withFolder(async (folder) => {
    const module = new URL("../../src/server/data_folder.ts", import.meta.url);
    const script = `const { holdDataFolder } = await import(${JSON.stringify(module.href)});
      holdDataFolder(${JSON.stringify(folder)});
      console.log("held");
      setInterval(() => {}, 1000);`;
    const child = new Deno.Command(Deno.execPath(), { args: ["eval", "--no-check", script], stdout: "piped" }).spawn();
    const reader = child.stdout.getReader();
    await reader.read();
    assertThrows(() => holdDataFolder(folder), ServerError, `(process ${child.pid})`);
    child.kill("SIGKILL");
    await reader.cancel();
    await child.status;
    holdDataFolder(folder).release();
  }),
);

Deno.test(
  "startServer() names a database that is not ours, and lets go of the folder",
  withFolder(async (dataDir) => {
    const database = join(dataDir, "multistep.sqlite");
    Deno.writeTextFileSync(database, "half written ".repeat(1000));
    await assertRejects(() => startTestServer({ dataDir }), ServerError, `Cannot use "${Deno.realPathSync(database)}"`);
    Deno.removeSync(database);
    await (await startTestServer({ dataDir })).stop();
    RunStore.open(database).close();
  }),
);

Deno.test(
  "startServer() refuses the data folder of a running server",
  withFolder(async (dataDir) => {
    const first = await startTestServer({ dataDir });
    await assertRejects(() => startTestServer({ dataDir }), ServerError, "another server");
    await first.stop();
    await (await startTestServer({ dataDir })).stop();
  }),
);

Deno.test("startServer() names a port in use, and closes the engine it had started", async () => {
  await using first = await startTestServer();
  const dataDir = Deno.makeTempDirSync();
  const closed: string[] = [];
  const listen = first.address;
  const engine = () =>
    Object.assign(Object.create(first.engine), { close: () => Promise.resolve(closed.push("engine")) });
  await assertRejects(() => startTestServer({ listen, dataDir, engine }), ServerError, `Cannot listen on ${listen}`);
  assertEquals(closed, ["engine"]);
  holdDataFolder(dataDir).release();
  Deno.removeSync(dataDir, { recursive: true });
});

Deno.test(
  "startServer() refuses import folders that do not exist or are files",
  withFolder(async (dataDir) => {
    const file = join(dataDir, "file");
    Deno.writeTextFileSync(file, "");
    for (const folder of [join(dataDir, "missing"), file]) {
      const start = () => startTestServer({ dataDir, importFolders: [folder] });
      await assertRejects(start, ServerError, `Cannot allow imports from "${folder}"`);
    }
  }),
);
