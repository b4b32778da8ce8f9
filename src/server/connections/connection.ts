/** One connection: how long it may be silent, idle or old, and what it has under way. */
import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import { constants } from "node:http2";
import type { Socket } from "node:net";
import type { Limits } from "../limits.ts";
import { FloodMeter } from "./flood.ts";
import { FrameReader } from "./frames.ts";
import { Outflow } from "./outflow.ts";

/** The id of a last stream that is none's: the client may yet open streams (RFC 9113, section 6.8). */
const noLastStream = 2 ** 31 - 1;

export class Connection {
  readonly outflow: Outflow;
  /** Calls whose work or whose stream has not ended. */
  requests = 0;
  private session: ServerHttp2Session | undefined;
  private openStreams = 0;
  private readonly timers = new Map<string, ReturnType<typeof setTimeout>>();

  /** @param socket new, before a session uses it */
  constructor(private readonly socket: Socket, private readonly limits: Limits) {
    this.outflow = new Outflow(socket);
    const flood = new FloodMeter();
    const reader = new FrameReader((frame) => {
      if (flood.isFlood(frame)) this.destroy(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    });
    socket.on("data", (chunk: Uint8Array) => reader.push(chunk));
    socket.once("close", () => this.clearTimers());
    this.after("handshake", limits.handshakeTimeout, () => this.destroy());
  }

  /** The session that uses the socket. */
  begin(session: ServerHttp2Session): void {
    this.session = session;
    session.once("remoteSettings", () => this.cancel("handshake"));
    session.on("stream", (stream: ServerHttp2Stream) => this.countStream(stream));
    this.after("idle", this.limits.idleTimeout, () => this.endGracefully());
    this.after("age", this.limits.connectionAge, () => this.endGracefully());
    this.after("ping", this.limits.pingInterval, () => this.ping());
  }

  /** Takes no new calls, lets those there are end in `patience` milliseconds, then cuts them. */
  endGracefully(patience = this.limits.connectionGrace): void {
    const { session } = this;
    if (!session || session.destroyed) return this.destroy();
    this.cancel("idle");
    this.after("grace", patience, () => this.destroy());
    if (session.closed) return;
    // The client may have opened streams that are on their way: they are answered, as it has heard nothing yet. The
    // answered ping tells that it has, and close() then ends the connection after its last stream.
    session.goaway(constants.NGHTTP2_NO_ERROR, noLastStream);
    session.ping(() => session.close());
  }

  destroy(code?: number): void {
    this.clearTimers();
    if (this.session && !this.session.destroyed) this.session.destroy(undefined, code);
    else this.socket.destroy();
  }

  private countStream(stream: ServerHttp2Stream): void {
    this.openStreams++;
    this.cancel("idle");
    stream.once("close", () => {
      this.openStreams--;
      if (this.openStreams === 0 && !this.timers.has("grace")) {
        this.after("idle", this.limits.idleTimeout, () => this.endGracefully());
      }
    });
  }

  /** Finds out whether the client is there at all, at intervals. */
  private ping(): void {
    const { session } = this;
    if (!session || session.destroyed) return;
    this.after("pong", this.limits.pingTimeout, () => this.destroy());
    session.ping(() => {
      this.cancel("pong");
      this.after("ping", this.limits.pingInterval, () => this.ping());
    });
  }

  private after(name: string, milliseconds: number, action: () => void): void {
    this.cancel(name);
    if (milliseconds === Infinity || this.socket.destroyed) return;
    this.timers.set(name, setTimeout(action, milliseconds));
  }

  private cancel(name: string): void {
    clearTimeout(this.timers.get(name));
    this.timers.delete(name);
  }

  private clearTimers(): void {
    for (const name of this.timers.keys()) this.cancel(name);
  }
}
