/** The options of `serve`, and what they mean to the server. */
import { UsageError } from "../errors.ts";
import { fetchPolicies, type ServeLimits, serveLogLevels, type ServeOptions } from "../local.ts";
import { defaulting, flag, optional, type OptionValues } from "../options.ts";
import { tuneOption } from "../tune_option.ts";
import { byteCount, choice, decimal, hostAndPort, integer, listOf, text } from "../values.ts";

const count = (fallback: string, help: string) => defaulting(integer("N", { minimum: 1 }), fallback, help);
/** Timers hold 24.8 days. */
const secondsKind = integer("SECONDS", { minimum: 1, maximum: 2_147_483 });
const seconds = (fallback: string, help: string) => defaulting(secondsKind, fallback, help);
const mebibytes = (fallback: string, help: string) =>
  defaulting(integer("MIB", { minimum: 1, maximum: 1024 }), fallback, help);

export const serveOptions = {
  listen: defaulting(hostAndPort(), "127.0.0.1:50051", "Where to listen; port 0 takes a free one"),
  "data-dir": optional(text("DIR"), "Where runs and data sets are kept (default: multistep in the user's data folder)"),
  "import-folders": optional(
    listOf(text("DIR")),
    "Folders that data sets may be imported from, besides the data folder",
  ),
  "allow-fetch": defaulting(
    choice(fetchPolicies),
    "known",
    "What is fetched for imports: nothing, data sets known by name, public addresses, or those of private networks too",
  ),
  "max-source": defaulting(byteCount(), "64GiB", "Size of one file that is uploaded or fetched for an import"),
  "tls-cert": optional(text("FILE"), "The server's certificate chain in PEM; read again when it changes"),
  "tls-key": optional(text("FILE"), "Its key"),
  "client-ca": optional(text("FILE"), "The authority, in PEM, that must have signed a client's certificate"),
  "token-file": optional(text("FILE"), 'Tokens that calls need, from "token create"; read again when it changes'),
  insecure: flag("Let other machines reach a server without TLS or without tokens"),
  "metrics-listen": optional(hostAndPort(), "Where to serve /metrics for Prometheus and /healthz, over plain HTTP"),
  "log-level": defaulting(choice(serveLogLevels), "info", "What is logged at least"),
  "shutdown-timeout": seconds("30", "What the end may take: checkpoints, then calls"),
  "max-connections": count("512", "Connections at a time; another one is closed"),
  "max-calls": count("4096", "Calls at a time; another one is refused"),
  "max-streams-per-connection": count("256", "Calls at a time on a connection; clients hold back others"),
  "max-requests-per-connection": count("512", "Calls worked on at a time for a connection, cancelled ones too"),
  "max-queued-runs": count("100", "Runs that wait for the GPU; another one is refused"),
  "max-message": mebibytes("16", "Size of one message received"),
  "max-answer": mebibytes("16", "Size of one message sent"),
  "infer-max-wait-ms": defaulting(
    decimal("MS", { below: 60_000 }),
    "2",
    "How long an image waits for others to share a batch with",
  ),
  "infer-queue": count("1024", "Images that may wait; further ones are refused"),
  tune: tuneOption,
  "min-free-disk": defaulting(
    byteCount(),
    "256MiB",
    "Room that stays free on the data folder's disk: below it, runs pause until there is more; 0: none",
  ),
  "keep-events": defaulting(
    integer("N", { minimum: 100 }),
    "10000",
    "How many of a run's newest events can be watched; the curves of those before are kept in 1,000 points",
  ),
  "request-timeout": seconds("60", "Until a request's message has arrived"),
  "stall-timeout": seconds("300", "How long a client may read nothing of a stream that has more"),
  "idle-timeout": seconds("1800", "How long a connection without calls is kept"),
  "connection-age": optional(
    secondsKind,
    "How long any connection is kept; then it takes no new calls (default: for ever)",
  ),
  "connection-grace": seconds("60", "What the calls of a connection that is too old get to end"),
};

type Values = OptionValues<typeof serveOptions>;

/** @throws {UsageError} options that do not go together. */
export function readServeOptions(values: Values): Omit<ServeOptions, "dataDir" | "log"> {
  return {
    listen: values.listen,
    importFolders: values["import-folders"] ?? [],
    allowFetch: values["allow-fetch"],
    maxSourceBytes: values["max-source"],
    tls: readTls(values),
    tokenFile: values["token-file"],
    insecure: values.insecure,
    tune: values.tune,
    runs: { minFreeDisk: values["min-free-disk"], keptEvents: values["keep-events"] },
    inferenceLimits: { maxWait: values["infer-max-wait-ms"], queue: values["infer-queue"] },
    metricsListen: values["metrics-listen"],
    logLevel: values["log-level"],
    shutdownTimeout: values["shutdown-timeout"] * 1000,
    limits: readLimits(values),
  };
}

function readTls(values: Values): ServeOptions["tls"] {
  const { "tls-cert": cert, "tls-key": key, "client-ca": clientCa } = values;
  if (cert !== undefined && key !== undefined) return { cert, key, clientCa };
  if (cert !== undefined || key !== undefined) {
    throw new UsageError("Options --tls-cert and --tls-key go together, got one of them");
  }
  if (clientCa !== undefined) throw new UsageError("Option --client-ca needs --tls-cert and --tls-key");
  return undefined;
}

function readLimits(values: Values): ServeLimits {
  const MiB = 2 ** 20;
  return {
    connections: values["max-connections"],
    calls: values["max-calls"],
    streamsPerConnection: values["max-streams-per-connection"],
    requestsPerConnection: values["max-requests-per-connection"],
    queuedRuns: values["max-queued-runs"],
    messageBytes: values["max-message"] * MiB,
    answerBytes: values["max-answer"] * MiB,
    requestTimeout: values["request-timeout"] * 1000,
    stallTimeout: values["stall-timeout"] * 1000,
    idleTimeout: values["idle-timeout"] * 1000,
    connectionAge: (values["connection-age"] ?? Infinity) * 1000,
    connectionGrace: values["connection-grace"] * 1000,
  };
}
