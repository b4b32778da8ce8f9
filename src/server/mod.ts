/** The gRPC server. `startServer()` is all that main.ts needs. */
export { type Catalog, createCatalog, type ImportOptions } from "./catalog.ts";
export { assertSupportedDeno, pinnedVersion } from "./deno_version.ts";
export { ServerError } from "./errors.ts";
export { type BuildOptions, buildServer } from "./http2_server.ts";
export type { LogSink } from "./log.ts";
export { type RunningServer, type ServerOptions, startServer } from "./start.ts";
