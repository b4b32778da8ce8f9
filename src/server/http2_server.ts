/** The HTTP/2 server: gRPC, gRPC-Web and Connect on one port, plain or with TLS. */
import http2 from "node:http2";
import type { ConnectRouter } from "@connectrpc/connect";
import { Admission } from "./admission.ts";
import type { Call } from "./call.ts";
import { Connections } from "./connections/connections.ts";
import { createInterceptor } from "./interceptor.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import type { Log } from "./log.ts";
import { createRequestHandler } from "./request_handler.ts";
import type { Authorizer } from "./security/authorizer.ts";
import { readTlsFiles, renewCertificates, type TlsContents, type TlsFiles } from "./security/tls.ts";

export interface BuildOptions {
  readonly routes: (router: ConnectRouter) => void;
  readonly log: Log;
  readonly limits?: Partial<Limits>;
  /** Default: no TLS. */
  readonly tls?: TlsFiles;
  /** Default: anyone may call anything. */
  readonly authorizer?: Authorizer;
  /** Ends every call with its reason when it aborts. */
  readonly shutdownSignal?: AbortSignal;
  /** Told of every call that has ended. */
  readonly onEnd?: (call: Call) => void;
}

export interface BuiltServer {
  /** Not listening yet. */
  readonly server: http2.Http2Server | http2.Http2SecureServer;
  readonly admission: Admission;
  readonly connections: Connections;
  /** Takes no more connections; calls of those there are other than health checks are refused. */
  stopAccepting(): void;
  /** Ends the connections: the calls that are left have `patience` milliseconds. */
  close(patience: number): Promise<void>;
}

/** @throws {ServerError} the files of `tls` cannot be used. */
export function buildServer(options: BuildOptions): BuiltServer {
  const { routes, log, tls, shutdownSignal } = options;
  const limits = { ...defaultLimits, ...options.limits };
  const connections = new Connections(limits, log);
  const admission = new Admission(limits, options.authorizer);
  const router = {
    interceptors: [createInterceptor(log)],
    readMaxBytes: limits.messageBytes,
    writeMaxBytes: limits.answerBytes,
    shutdownSignal,
  };
  const onEnd = (call: Call) => {
    logCall(call, log);
    options.onEnd?.(call);
  };
  const handler = createRequestHandler({ routes, router, limits, connections, admission, log, onEnd });
  const settings = { maxConcurrentStreams: limits.streamsPerConnection, maxHeaderListSize: limits.headerBytes };
  const certificates = tls && { files: tls, contents: readTlsFiles(tls), log };
  const secure = certificates && createSecureServer(certificates.contents, { settings, limits });
  const server = secure ?? http2.createServer({ settings });
  server.on("request", handler);
  connections.attach(server);
  const renewal = secure && renewCertificates(secure, certificates);
  return {
    server,
    admission,
    connections,
    stopAccepting() {
      renewal?.[Symbol.dispose]();
      admission.drain();
      server.close();
    },
    close: (patience) => connections.end(patience),
  };
}

interface SecureOptions {
  readonly settings: http2.Settings;
  readonly limits: Limits;
}

function createSecureServer(contents: TlsContents, { settings, limits }: SecureOptions): http2.Http2SecureServer {
  const isMutual = contents.ca !== undefined;
  return http2.createSecureServer({
    ...contents,
    settings,
    minVersion: "TLSv1.2",
    handshakeTimeout: limits.handshakeTimeout,
    requestCert: isMutual,
    rejectUnauthorized: isMutual,
  });
}

/** Calls that went well are many; who is denied something may be an attacker. */
function logCall({ requestId, method, client, began, status, run }: Call, log: Log): void {
  const seconds = Math.round(performance.now() - began) / 1000;
  const fields = { request_id: requestId, method, client, run, status, seconds };
  if (status === "unauthenticated" || status === "permission_denied") log.warn("call denied", fields);
  else log.debug("call", fields);
}
