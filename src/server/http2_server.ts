/** The HTTP/2 server: gRPC, gRPC-Web and Connect on one port. */
import http2 from "node:http2";
import type { ConnectRouter } from "@connectrpc/connect";
import { createInterceptor } from "./interceptor.ts";
import type { Log } from "./log.ts";
import { createRequestHandler } from "./request_handler.ts";

export interface BuildOptions {
  readonly routes: (router: ConnectRouter) => void;
  readonly log: Log;
  /** Bytes of one message received, unpacked; a larger one is RESOURCE_EXHAUSTED. Default 16 MiB. */
  readonly readMaxBytes?: number;
  /** Ends every call with its reason when it aborts. */
  readonly shutdownSignal?: AbortSignal;
}

/** 16 MiB: an Infer of 256 images of 224 x 224 pixels as files, with room. */
const defaultReadMaxBytes = 16 * 1024 * 1024;

/** The server, not listening yet. */
export function buildServer(options: BuildOptions): http2.Http2Server {
  const { routes, log, readMaxBytes = defaultReadMaxBytes, shutdownSignal } = options;
  const limits = { interceptors: [createInterceptor(log)], readMaxBytes, shutdownSignal };
  const server = http2.createServer(createRequestHandler(routes, limits, log));
  // Connections that fail, too, would end the process if nobody listened.
  server.on("session", (session) => session.on("error", () => {}));
  server.on("sessionError", () => {});
  return server;
}
