/** A whole server: data folder, store, engine, services, ports. */
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Engine } from "../engine/mod.ts";
import { type Catalog, createCatalog } from "./catalog.ts";
import { holdDataFolder } from "./data_folder.ts";
import { ServerError } from "./errors.ts";
import type { FetchPolicy } from "./import_sources.ts";
import { defaultLimits as defaultInferenceLimits, type InferenceLimits } from "./inference/batcher.ts";
import { buildServer } from "./http2_server.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import { type Address, formatAddress, listen, parseAddress } from "./listen.ts";
import { Log, type LogLevel, type LogSink } from "./log.ts";
import { meteredEngine } from "./observability/metered_engine.ts";
import { Metrics } from "./observability/metrics.ts";
import { startMetricsServer } from "./observability/metrics_server.ts";
import { RunStore } from "./runs/store.ts";
import type { RunLimits } from "./runs/training_runs.ts";
import { Authorizer } from "./security/authorizer.ts";
import { assertGuarded, assertMetricsGuarded } from "./security/exposure.ts";
import type { TlsFiles } from "./security/tls.ts";
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
  /** Default "info". */
  readonly logLevel?: LogLevel;
  /** Folders beside the data folder that data sets may be imported from. */
  readonly importFolders?: readonly string[];
  /** What is fetched for imports; default: the data sets that are known by name. */
  readonly allowFetch?: FetchPolicy;
  /** Bytes of one source of a data set that is fetched or uploaded; default 64 GiB. */
  readonly maxSourceBytes?: number;
  /** How images of concurrent calls are put together; default: wait 2 ms, 1024 images. */
  readonly inferenceLimits?: InferenceLimits;
  /** Those given take the place of the defaults. */
  readonly limits?: Partial<Limits>;
  /** Default: no TLS. */
  readonly tls?: TlsFiles;
  /** The file of the tokens that calls need; default: none is needed. */
  readonly tokenFile?: string;
  /** Whether other machines may reach a server without TLS or without tokens. */
  readonly insecure?: boolean;
  /** "HOST:PORT" of plain HTTP with `/metrics` and `/healthz`; default: none. */
  readonly metricsListen?: string;
  /** Milliseconds that close() may take; default 30,000. */
  readonly shutdownTimeout?: number;
  /** Default: the models of models/ and the data sets of the data folder. */
  readonly catalog?: Catalog;
  /** Of runs, their logs and the disk. */
  readonly runs?: RunLimits;
}

export interface RunningServer {
  /** "HOST:PORT", with the port that was given. */
  readonly address: string;
  /** The same of the metrics, if they are served. */
  readonly metricsAddress?: string;
  /**
   * Ends the calls, then frees everything. A run that trains writes a checkpoint; the next server goes on with it.
   * @throws {ServerError} that took longer than the shutdown timeout; the process should end all the same.
   */
  close(): Promise<void>;
}

const defaultShutdownTimeout = 30_000;
/** What may be taken of the shutdown timeout: by the runs, by the calls that were told to end, by the engine. */
const shares = { runs: 0.6, calls: 0.05, engine: 0.2 } as const;

/**
 * Starts a server.
 * @throws {ServerError} the data folder or its database cannot be used, the address is taken or not guarded, or a file
 * of TLS or tokens cannot be used.
 * @throws what `options.engine` throws.
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const address = parseAddress(options.listen);
  const { tls, tokenFile, insecure = false } = options;
  const authenticated = tokenFile !== undefined || tls?.clientCa !== undefined;
  assertGuarded(address, { tls: tls !== undefined, authenticated, insecure });
  const metricsAddress = options.metricsListen === undefined ? undefined : parseAddress(options.metricsListen);
  if (metricsAddress) assertMetricsGuarded(metricsAddress, { insecure });
  const importFolders = (options.importFolders ?? []).map(realFolder);
  // What was acquired is released in the opposite order, whether the start fails or the server is closed.
  const acquired = new AsyncDisposableStack();
  try {
    return await assemble(options, { address, metricsAddress, importFolders, acquired });
  } catch (error) {
    await acquired.disposeAsync();
    throw error;
  }
}

interface Prepared {
  readonly address: Address;
  readonly metricsAddress?: Address;
  readonly importFolders: readonly string[];
  readonly acquired: AsyncDisposableStack;
}

async function assemble(options: ServerOptions, prepared: Prepared): Promise<RunningServer> {
  const { acquired, importFolders } = prepared;
  const { tls, tokenFile, shutdownTimeout = defaultShutdownTimeout } = options;
  const limits = { ...defaultLimits, ...options.limits };
  const log = new Log(options.log, options.logLevel);
  const authorizer = tokenFile === undefined ? undefined : acquired.use(new Authorizer(tokenFile, log));
  const { path: dataDir } = acquired.adopt(holdDataFolder(options.dataDir), (folder) => folder.release());
  const store = acquired.adopt(RunStore.open(join(dataDir, "multistep.sqlite")), (store) => store.close());
  const engine = acquired.adopt(
    await options.engine(dataDir, (message) => log.warn(message)),
    (engine) => engine.close(shutdownTimeout * shares.engine),
  );
  const catalog = options.catalog ?? createCatalog(dataDir);
  const metrics = new Metrics({
    runs: () => store.countByState(),
    queuedRuns: () => runs.queued,
    connections: () => built.connections.size,
    acceptedConnections: () => built.connections.accepted,
    refusedConnections: () => built.connections.refused,
    callsUnderWay: () => built.admission.calls,
  });
  const { runs, exports, health, routes } = createServices({
    store,
    // Planning a run's memory takes time, which is spent only where somebody reads of it.
    engine: prepared.metricsAddress ? meteredEngine(engine, metrics, catalog) : engine,
    catalog,
    log,
    dataDir,
    importFolders,
    transfers: {
      allowFetch: options.allowFetch,
      maxSourceBytes: options.maxSourceBytes,
      minFreeDisk: options.runs?.minFreeDisk,
      patience: limits.stallTimeout,
    },
    inferenceLimits: options.inferenceLimits ?? defaultInferenceLimits,
    limits: { ...options.runs, maxQueued: limits.queuedRuns },
  });
  const shutdown = new AbortController();
  const built = buildServer({
    routes,
    log,
    limits,
    tls,
    authorizer,
    shutdownSignal: shutdown.signal,
    onEnd: (call) => metrics.callEnded(call),
  });
  const watched = prepared.metricsAddress &&
    acquired.use(startMetricsServer(prepared.metricsAddress, { metrics, log, isServing: () => health.isServing }));
  acquired.defer(() => built.close(shutdownTimeout * shares.calls));
  acquired.defer(() => shutdown.abort(new ConnectError("The server is shutting down", Code.Unavailable)));
  acquired.defer(() => exports.close());
  acquired.defer(() => runs.close(shutdownTimeout * shares.runs));
  acquired.defer(() => {
    health.stopServing();
    built.stopAccepting();
  });
  const address = formatAddress(await listen(built.server, prepared.address));
  runs.begin();
  log.info("server started", {
    address,
    metrics_address: watched?.address,
    version,
    deno: Deno.version.deno,
    adapter: engine.adapter.description,
  });
  return { address, metricsAddress: watched?.address, close: () => closeWithin(shutdownTimeout, acquired, log) };
}

/** @throws {ServerError} it took longer. */
async function closeWithin(milliseconds: number, acquired: AsyncDisposableStack, log: Log): Promise<void> {
  log.info("server stops", { seconds_at_most: milliseconds / 1000 });
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    reject(new ServerError(`The server did not stop within ${milliseconds / 1000} s`));
  }, milliseconds);
  await Promise.race([acquired.disposeAsync(), late]).finally(() => clearTimeout(timer));
  log.info("server stopped");
}

function realFolder(path: string): string {
  try {
    if (Deno.statSync(path).isDirectory) return Deno.realPathSync(path);
  } catch (error) {
    throw new ServerError(`Cannot allow imports from "${path}": it does not exist or cannot be read`, { cause: error });
  }
  throw new ServerError(`Cannot allow imports from "${path}": it is no folder`);
}
