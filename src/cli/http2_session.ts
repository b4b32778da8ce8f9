/**
 * One HTTP/2 session to a server, opened when needed and again after it broke.
 *
 * It stands in for connect-node's Http2SessionManager, which on Deno loops
 * without end when a peer hangs up right after the connection is made, and
 * leaves that moment's socket error without a listener, which ends the process.
 */
import http2 from "node:http2";
import { type GrpcTransportOptions } from "@connectrpc/connect-node";

/** PEM texts. */
export interface ClientTls {
  /** Who signed the server's certificate; default: the authorities that the system trusts. */
  readonly ca?: string;
  /** The client's own certificate and its key, where the server wants one. */
  readonly cert?: string;
  readonly key?: string;
}

type SessionManager = NonNullable<GrpcTransportOptions["sessionManager"]>;

/** Pings find out that a server is gone without a word, as a machine that lost its power is. */
const pingIntervalMs = 30_000;
const pingTimeoutMs = 15_000;

export class Http2Session implements SessionManager {
  readonly authority: string;
  readonly #open = new Set<http2.ClientHttp2Session>();
  #current: Promise<http2.ClientHttp2Session> | undefined;

  /** @param authority "http://HOST:PORT", or with https */
  constructor(authority: string, private readonly tls: ClientTls = {}) {
    this.authority = new URL(authority).origin;
  }

  async request(
    method: string,
    path: string,
    headers: http2.OutgoingHttpHeaders,
    options: Omit<http2.ClientSessionRequestOptions, "signal">,
  ): Promise<http2.ClientHttp2Stream> {
    this.#current ??= this.#connect();
    const session = await this.#current;
    return session.request({ ...headers, ":method": method, ":path": path }, options);
  }

  /** Deno takes whatever is written to a stream and tells nothing of it; what the network has taken is told here. */
  get bytesSent(): number {
    return [...this.#open].reduce((sum, session) => sum + (session.socket?.bytesWritten ?? 0), 0);
  }

  /** Bytes that arrive are no reason to ping less. */
  notifyResponseByteRead(): void {}

  close(): void {
    this.#current = undefined;
    for (const session of this.#open) session.destroy();
  }

  #connect(): Promise<http2.ClientHttp2Session> {
    const session = http2.connect(this.authority, { ...this.tls });
    this.#open.add(session);
    const pinging = setInterval(() => ping(session), pingIntervalMs);
    const connected = Promise.withResolvers<http2.ClientHttp2Session>();
    const renew = () => {
      if (this.#current === connected.promise) this.#current = undefined;
    };
    session.once("connect", () => connected.resolve(session));
    // Streams tell their callers themselves; this one only must have a listener, at all times.
    session.on("error", (error) => connected.reject(error));
    // The server finishes what is begun, and takes nothing new.
    session.on("goaway", renew);
    session.on("close", () => {
      clearInterval(pinging);
      this.#open.delete(session);
      renew();
      connected.reject(new Error(`${this.authority} closed the connection`));
    });
    return connected.promise;
  }
}

function ping(session: http2.ClientHttp2Session): void {
  if (session.destroyed) return;
  const timer = setTimeout(() => session.destroy(), pingTimeoutMs);
  // Called with an error where the session closes before the answer.
  session.ping(() => clearTimeout(timer));
}
