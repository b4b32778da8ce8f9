/** A whole server: data folder, store, engine, services, port. */
import type http2 from "node:http2";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Engine } from "../engine/mod.ts";
import { type Catalog, createCatalog } from "./catalog.ts";
import { holdDataFolder } from "./data_folder.ts";
import { ServerError } from "./errors.ts";
import { defaultLimits, type InferenceLimits } from "./inference/batcher.ts";
import { buildServer } from "./http2_server.ts";
import { type Address, formatAddress, listen, parseAddress } from "./listen.ts";
import { Log, type LogSink } from "./log.ts";
import { RunStore } from "./runs/store.ts";
import { createServices } from "./services/mod.ts";
import { version } from "./version.ts";

export interface ServerOptions {
  /** "HOST:PORT"; port 0 is any that is free. */
  readonly listen: string;
  /** Made if it is missing. */
  readonly dataDir: string;
  /** Starts the engine once the data folder is held, which may tell warnings for the log; the server closes it. */
  engine(dataDir: string, warn: (message: string) => void): Engine | Promise<Engine>;
  /** Takes the log, one line of JSON at a time. */
  readonly log: LogSink;
  /** Folders beside the data folder that data sets may be imported from. */
  readonly importFolders?: readonly string[];
  /** Bytes of one message received; default 16 MiB. */
  readonly readMaxBytes?: number;
  /** How images of concurrent calls are put together; default: wait 2 ms, 1024 images. */
  readonly inferenceLimits?: InferenceLimits;
  /** Default: the models of models/ and the data sets of the data folder. */
  readonly catalog?: Catalog;
}

export interface RunningServer {
  /** "HOST:PORT", with the port that was given. */
  readonly address: string;
  /** Ends the runs and the calls, then frees everything. A run that is not finished becomes FAILED. */
  close(): Promise<void>;
}

/** Milliseconds that calls have to end by themselves after they were told to. */
const callPatience = 1_000;

/**
 * Starts a server.
 * @throws {ServerError} the data folder or its database cannot be used, or the address is taken.
 * @throws what `options.engine` throws.
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const address = parseAddress(options.listen);
  const importFolders = (options.importFolders ?? []).map(realFolder);
  // What was acquired is released in the opposite order, whether the start fails or the server is closed.
  const acquired = new AsyncDisposableStack();
  try {
    return await assemble(options, { address, importFolders, acquired });
  } catch (error) {
    await acquired.disposeAsync();
    throw error;
  }
}

interface Prepared {
  readonly address: Address;
  readonly importFolders: readonly string[];
  readonly acquired: AsyncDisposableStack;
}

async function assemble(options: ServerOptions, prepared: Prepared): Promise<RunningServer> {
  const { acquired, importFolders } = prepared;
  const log = new Log(options.log);
  const { path: dataDir } = acquired.adopt(holdDataFolder(options.dataDir), (folder) => folder.release());
  const store = acquired.adopt(RunStore.open(join(dataDir, "multistep.sqlite")), (store) => store.close());
  const engine = acquired.adopt(
    await options.engine(dataDir, (message) => log.warn(message)),
    (engine) => engine.close(),
  );
  const catalog = options.catalog ?? createCatalog(dataDir);
  const { runs, health, routes } = createServices({
    store,
    engine,
    catalog,
    log,
    dataDir,
    importFolders,
    inferenceLimits: options.inferenceLimits ?? defaultLimits,
  });
  const shutdown = new AbortController();
  const server = buildServer({ routes, log, readMaxBytes: options.readMaxBytes, shutdownSignal: shutdown.signal });
  const sessions = trackSessions(server);
  const address = formatAddress(await listen(server, prepared.address));
  log.info("server started", { address, version, deno: Deno.version.deno, adapter: engine.adapter.description });

  acquired.defer(() => closeServer(server, sessions));
  acquired.defer(() => shutdown.abort(new ConnectError("The server is shutting down", Code.Unavailable)));
  acquired.defer(() => runs.close());
  acquired.defer(() => health.stopServing());
  return { address, close: () => acquired.disposeAsync() };
}

function trackSessions(server: http2.Http2Server): Set<http2.ServerHttp2Session> {
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
  });
  return sessions;
}

/** Takes no more connections, lets the calls end, then cuts those that have not. */
async function closeServer(server: http2.Http2Server, sessions: Set<http2.ServerHttp2Session>): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const session of sessions) session.close();
  const timer = setTimeout(() => {
    for (const session of sessions) session.destroy();
  }, callPatience);
  await closed;
  clearTimeout(timer);
}

function realFolder(path: string): string {
  try {
    if (Deno.statSync(path).isDirectory) return Deno.realPathSync(path);
  } catch (error) {
    throw new ServerError(`Cannot allow imports from "${path}": it does not exist or cannot be read`, { cause: error });
  }
  throw new ServerError(`Cannot allow imports from "${path}": it is no folder`);
}
