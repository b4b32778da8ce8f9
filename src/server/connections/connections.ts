/** The connections of a server. */
import type { Http2SecureServer, Http2Server, Http2Session, ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Limits } from "../limits.ts";
import type { Log } from "../log.ts";
import { Connection } from "./connection.ts";

/** Connections between two warnings; some 250 MB. */
const warnEvery = 10_000;

export class Connections {
  /** Since the start: those that were taken, and those refused for the limit. */
  accepted = 0;
  refused = 0;
  private readonly sockets = new Set<Socket>();
  private readonly open = new Set<Connection>();
  private onClose: (() => void) | undefined;
  private readonly bySession = new WeakMap<Http2Session, Connection>();

  constructor(private readonly limits: Limits, private readonly log: Log) {}

  /** Watches what connects to the server, which does not listen yet. */
  attach(server: Http2Server | Http2SecureServer): void {
    let accepted: Connection | undefined;
    // node:http2 makes the session while it is told of the socket, after this listener.
    server.prependListener("setSecureContext" in server ? "secureConnection" : "connection", (socket: Socket) => {
      accepted = socket.destroyed ? undefined : this.accept(socket);
    });
    server.prependListener("connection", (socket: Socket) => this.admit(socket));
    server.on("session", (session: ServerHttp2Session) => {
      // Without listeners, a connection that fails would end the process.
      session.on("error", () => {});
      if (!accepted) return session.destroy();
      this.bySession.set(session, accepted);
      accepted.begin(session);
      accepted = undefined;
    });
    server.on("sessionError", () => {});
    server.on("tlsClientError", (_error, socket: Socket) => socket.destroy());
    server.on("unknownProtocol", (socket: Socket) => socket.destroy());
  }

  of(session: Http2Session): Connection | undefined {
    return this.bySession.get(session);
  }

  get size(): number {
    return this.sockets.size;
  }

  /** Ends all: at once those that do nothing, the others after `patience` milliseconds at most. */
  async end(patience: number): Promise<void> {
    for (const connection of this.open) connection.endGracefully(patience);
    const timer = setTimeout(() => {
      for (const socket of this.sockets) socket.destroy();
    }, patience);
    while (this.sockets.size > 0) {
      await new Promise<void>((resolve) => this.onClose = resolve);
    }
    clearTimeout(timer);
  }

  private admit(socket: Socket): void {
    socket.on("error", () => {});
    if (this.sockets.size >= this.limits.connections) {
      this.refused++;
      socket.destroy();
      return;
    }
    this.sockets.add(socket);
    socket.once("close", () => {
      this.sockets.delete(socket);
      this.onClose?.();
    });
  }

  private accept(socket: Socket): Connection {
    const connection = new Connection(socket, this.limits);
    this.open.add(connection);
    this.accepted++;
    if (this.accepted % warnEvery === 0) {
      // Deno 2.9.3 frees no session of nghttp2: measured on a bare node:http2 server, 25 KB of each.
      this.log.warn("Deno keeps some 25 KB of every connection", { connections: this.accepted });
    }
    socket.once("close", () => this.open.delete(connection));
    return connection;
  }
}
