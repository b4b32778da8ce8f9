/**
 * What the command line needs from the process it runs in, rather than from a
 * server over gRPC. The client imports neither server nor engine; whoever
 * calls `runCli` puts these in.
 *
 * An error that one of these throws is shown by its message alone, so it must
 * be fit for a user, on one line.
 */
import type { ImageSize } from "./values.ts";

export interface LocalCommands {
  /**
   * Starts a server that listens when the promise settles.
   * @throws where the address is in use, the data folder unusable, or no adapter there.
   */
  serve(options: ServeOptions): Promise<LocalServer>;
  /** @throws for a name that a token file cannot hold. */
  createToken(name: string, scope: TokenScope): Promise<NewToken>;
  /** Looks at the machine; what is wrong goes into the report, not into an exception. */
  doctor(): Promise<DoctorReport>;
  /** Measures, telling each result when it is there; an aborted signal ends the iteration. */
  bench(kind: BenchKind, options: BenchOptions): AsyncIterable<BenchMeasurement>;
  /** Writes a few images of the demo's test split into `folder`, which exists, as PNG files. */
  exampleImages(folder: string): Promise<ExampleImage[]>;
}

/** Whether kernels are measured to choose the fastest; `auto`: on hardware, not on software Vulkan. */
export const tuneModes = ["auto", "on", "off"] as const;
export type TuneMode = typeof tuneModes[number];

/** What a server fetches for imports: nothing, known data sets, public addresses, or its own network's too. */
export const fetchPolicies = ["none", "known", "public", "any"] as const;
export type FetchPolicy = typeof fetchPolicies[number];

export interface ServeOptions {
  /** "HOST:PORT"; port 0 takes a free one. */
  readonly listen: string;
  readonly dataDir: string;
  /** Folders beside the data folder that data sets may be imported from. */
  readonly importFolders: readonly string[];
  /** Default: the server's. */
  readonly allowFetch?: FetchPolicy;
  /** Bytes of one source of a data set that is fetched or uploaded; default: the server's. */
  readonly maxSourceBytes?: number;
  /** Of concurrent calls of inference; default: the server's. */
  readonly inferenceLimits?: InferenceLimits;
  readonly tune: TuneMode;
  /** Default: the server's. */
  readonly runs?: {
    /** Bytes of the data folder's disk that stay free. */
    readonly minFreeDisk: number;
    /** A run's newest events that can be watched. */
    readonly keptEvents: number;
  };
  /** Takes the server's log, one line of JSON at a time, without its line break. */
  readonly log: (line: string) => void;
  /** Lines of less importance are left out; default "info". */
  readonly logLevel?: ServeLogLevel;
  readonly limits?: ServeLimits;
  /** Paths of PEM files; default: no TLS. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa?: string };
  /** The file of the tokens that calls need; default: they need none. */
  readonly tokenFile?: string;
  /** Whether other machines may reach a server without TLS or without tokens. */
  readonly insecure?: boolean;
  /** "HOST:PORT" of plain HTTP with `/metrics` and `/healthz`; default: none. */
  readonly metricsListen?: string;
  /** Milliseconds that the server's end may take. */
  readonly shutdownTimeout?: number;
}

export const serveLogLevels = ["debug", "info", "warning", "error"] as const;
export type ServeLogLevel = typeof serveLogLevels[number];

/** What bounds a server; times are in milliseconds, Infinity is for ever. */
export interface ServeLimits {
  readonly connections: number;
  readonly calls: number;
  readonly streamsPerConnection: number;
  readonly requestsPerConnection: number;
  readonly queuedRuns: number;
  readonly messageBytes: number;
  readonly answerBytes: number;
  readonly requestTimeout: number;
  readonly stallTimeout: number;
  readonly idleTimeout: number;
  readonly connectionAge: number;
  readonly connectionGrace: number;
}

export interface InferenceLimits {
  /** Milliseconds that an image waits for others while the GPU is free. */
  readonly maxWait: number;
  /** Images that may wait at a time. */
  readonly queue: number;
}

export interface LocalServer {
  /** "HOST:PORT" as a client dials it. */
  readonly address: string;
  /** The same of the metrics, if they are served. */
  readonly metricsAddress?: string;
  /**
   * Ends runs and calls in order, then frees everything.
   * @throws where that takes longer than the shutdown timeout; the process should end all the same.
   */
  close(): Promise<void>;
}

export const tokenScopes = ["read", "write"] as const;
export type TokenScope = typeof tokenScopes[number];

export interface NewToken {
  /** What a client sends. */
  readonly token: string;
  /** What the server's token file holds of it. */
  readonly line: string;
}

export interface DoctorReport {
  /** Of Multistep and of Deno. */
  readonly version: string;
  readonly denoVersion: string;
  /** "linux x86_64". */
  readonly platform: string;
  /** Absent where no adapter was found. */
  readonly adapter?: DoctorAdapter;
  readonly checks: readonly DoctorCheck[];
}

export interface DoctorAdapter {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  /** Whether it runs on the CPU, as Mesa's llvmpipe does. */
  readonly software: boolean;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
}

/** `warning`: works, but less well than it could; `failed`: training or serving does not work. */
export interface DoctorCheck {
  readonly name: string;
  readonly status: "ok" | "warning" | "failed";
  readonly message: string;
  /** What to do about it. */
  readonly remedy?: string;
}

export const benchKinds = ["kernels", "train", "infer", "rpc", "data"] as const;
export type BenchKind = typeof benchKinds[number];

export interface BenchOptions {
  readonly model: string;
  readonly batchSize: number;
  readonly image: ImageSize;
  readonly classes: number;
  /** Of training; default f32. */
  readonly precision?: "f32" | "mixed";
  /** How often each case is measured. */
  readonly runs: number;
  readonly tune: TuneMode;
  /** Only cases whose name contains this. */
  readonly filter?: string;
  /** Of train: where the timeline of one step goes. */
  readonly trace?: string;
  /** Takes what is for people alone. */
  readonly note: (line: string) => void;
  readonly signal: AbortSignal;
}

export interface BenchMeasurement {
  readonly benchmark: string;
  readonly case: string;
  readonly median: number;
  /** Of the median: "images/s", "GFLOP/s", "ms". */
  readonly unit: string;
  readonly runs: number;
  readonly adapter: string;
  readonly minimum?: number;
  readonly maximum?: number;
  /** Figures of this benchmark alone, by JSON name. */
  readonly details?: Readonly<Record<string, number | string>>;
}

export interface ExampleImage {
  readonly path: string;
  /** The class it belongs to. */
  readonly label: string;
}
