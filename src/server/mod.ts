/** The gRPC server. `startServer()` is all that main.ts needs. */
export { type Catalog, createCatalog, type ImportOptions } from "./catalog.ts";
export { assertSupportedDeno, pinnedVersion } from "./deno_version.ts";
export { ServerError } from "./errors.ts";
export { type BuildOptions, buildServer, type BuiltServer } from "./http2_server.ts";
export { defaultLimits, type Limits } from "./limits.ts";
export type { LogLevel, LogSink } from "./log.ts";
export { createToken, type Scope } from "./security/tokens.ts";
export type { TlsFiles } from "./security/tls.ts";
export { type RunningServer, type ServerOptions, startServer } from "./start.ts";
