/** Run as a process of its own: the command line over an engine without a GPU. Arguments: those of the command line. */
import { onInterrupt, runCli, terminalSink } from "../../src/cli/mod.ts";
import { startServer } from "../../src/server/mod.ts";
import { FakeCatalog } from "./fake_catalog.ts";
import { FakeEngine } from "./fake_engine.ts";

const notHere = () => {
  throw new Error("Not in this process");
};

const code = await runCli(Deno.args, {
  version: "0.1.0",
  stdout: terminalSink(Deno.stdout, () => {}),
  stderr: terminalSink(Deno.stderr, () => {}),
  serverAddress: "127.0.0.1:1",
  dataDir: "data",
  onInterrupt,
  local: {
    serve: (options) =>
      startServer({ ...options, engine: (folder) => new FakeEngine(folder), catalog: new FakeCatalog() }),
    createToken: notHere,
    doctor: notHere,
    bench: notHere,
    exampleImages: notHere,
  },
});
Deno.exit(code);
