/** A server over the fake engine, on a free port and a data folder of its own. */
import { type ServerOptions, startServer } from "../../src/server/mod.ts";
import { FakeCatalog } from "./fake_catalog.ts";
import { FakeEngine, type FakeEngineOptions } from "./fake_engine.ts";

export interface TestServerOptions extends Partial<ServerOptions> {
  readonly fake?: FakeEngineOptions;
}

export interface TestServer extends AsyncDisposable {
  readonly address: string;
  readonly metricsAddress?: string;
  readonly dataDir: string;
  readonly engine: FakeEngine;
  readonly catalog: FakeCatalog;
  readonly logs: string[];
  /** Leaves the data folder. */
  stop(): Promise<void>;
}

export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const dataDir = options.dataDir ?? Deno.makeTempDirSync();
  const engine = new FakeEngine(dataDir, options.fake);
  const catalog = new FakeCatalog();
  const logs: string[] = [];
  const server = await startServer({
    listen: "127.0.0.1:0",
    dataDir,
    engine: () => engine,
    log: (line) => logs.push(line),
    catalog,
    ...options,
  });
  let stopped: Promise<void> | undefined;
  const stop = () => stopped ??= server.close();
  return {
    address: server.address,
    metricsAddress: server.metricsAddress,
    dataDir,
    engine,
    catalog,
    logs,
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
      if (options.dataDir === undefined) Deno.removeSync(dataDir, { recursive: true });
    },
  };
}
