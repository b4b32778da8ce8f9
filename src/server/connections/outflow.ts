/**
 * Back-pressure for the streams of one connection.
 *
 * Deno's node:http2 takes whatever is written to a stream, keeps it until the client's flow control lets it out, and
 * tells nothing of it: `write()` returns true, `writableLength` is 0. But each frame that does go out is one
 * `socket.write()` (Deno 2.9.3, ext/node/polyfills/http2.ts), so what was written less what was seen leaving is what
 * waits, and the socket itself tells what the network has not taken. A test holds this to be so.
 */
import type { Http2ServerResponse, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { frameHeaderBytes, FrameType, readFrameHeader } from "./frames.ts";

/** Bytes of one stream that may wait before its writer does. */
const streamHighWater = 64 * 1024;
/** Bytes of the connection that may wait in the socket before all its writers do. */
const socketHighWater = 256 * 1024;

interface StreamOutflow {
  /** Bytes written and not seen leaving. */
  unsent: number;
  /** Called when some have left. */
  wake?: () => void;
}

interface Room {
  /** Milliseconds that the client may take nothing. */
  readonly patience: number;
  /** Bytes of the stream. */
  readonly below: number;
}

export class Outflow {
  private readonly streams = new Map<number, StreamOutflow>();

  /** @param socket new, before any frame was written to it */
  constructor(private readonly socket: Socket) {
    socket.write = new Proxy(socket.write, {
      apply: (write, self, args: Parameters<Socket["write"]>) => {
        this.leave(args[0]);
        return Reflect.apply(write, self, args);
      },
    });
    socket.on("drain", () => {
      for (const stream of this.streams.values()) stream.wake?.();
    });
  }

  /** Bytes that the client has not taken. */
  get unsent(): number {
    let sum = this.socket.writableLength;
    for (const stream of this.streams.values()) sum += stream.unsent;
    return sum;
  }

  /**
   * Writes to a stream, and settles when the client has taken enough of it for more, or the stream is closed.
   * @returns false when the client took nothing for `patience` milliseconds
   */
  async write(response: Http2ServerResponse, chunk: Uint8Array, patience: number): Promise<boolean> {
    this.send(response, chunk);
    return await this.room(response, { patience, below: streamHighWater });
  }

  /**
   * Writes to a stream when the client has taken all that was written before, or nothing if the stream is closed. For
   * streams that may wait for long: what a client that does not read makes them hold is one chunk.
   * @returns false when the client took nothing for `patience` milliseconds
   */
  async writeInTurn(response: Http2ServerResponse, chunk: Uint8Array, patience: number): Promise<boolean> {
    if (!await this.room(response, { patience, below: 1 })) return false;
    this.send(response, chunk);
    return true;
  }

  private send(response: Http2ServerResponse, chunk: Uint8Array): void {
    const { stream } = response;
    if (stream.destroyed || stream.id === undefined || response.writableEnded) return;
    this.streamOf(stream, stream.id).unsent += chunk.length;
    response.write(chunk);
  }

  /** Waits until fewer than `below` bytes of a stream wait, and the socket has room. */
  private async room({ stream }: Http2ServerResponse, { patience, below }: Room): Promise<boolean> {
    if (stream.destroyed || stream.id === undefined) return true;
    const state = this.streamOf(stream, stream.id);
    let taken = this.takenOf(state, below);
    let lastTime = performance.now();
    while (!this.hasRoom(state, below) && !stream.destroyed) {
      const left = lastTime + patience - performance.now();
      if (left <= 0) return false;
      await this.change(state, left);
      if (this.takenOf(state, below) === taken) continue;
      taken = this.takenOf(state, below);
      lastTime = performance.now();
    }
    return true;
  }

  private streamOf(stream: ServerHttp2Stream, id: number): StreamOutflow {
    const known = this.streams.get(id);
    if (known) return known;
    const state: StreamOutflow = { unsent: 0 };
    this.streams.set(id, state);
    stream.once("close", () => {
      this.streams.delete(id);
      state.wake?.();
    });
    return state;
  }

  private hasRoom({ unsent }: StreamOutflow, below: number): boolean {
    return unsent < below && this.socket.writableLength < socketHighWater;
  }

  /** Grows whenever the client takes some of what holds the stream back: its own bytes, or the connection's. */
  private takenOf({ unsent }: StreamOutflow, below: number): number {
    return unsent >= below ? -unsent : this.socket.bytesWritten - this.socket.writableLength;
  }

  /** The next news of the stream, or the end of patience. */
  private async change(state: StreamOutflow, patience: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, patience);
    state.wake = resolve;
    await promise;
    clearTimeout(timer);
    state.wake = undefined;
  }

  /** A frame goes to the socket. */
  private leave(chunk: unknown): void {
    if (!(chunk instanceof Uint8Array) || chunk.length < frameHeaderBytes) return;
    const { type, stream, length } = readFrameHeader(chunk);
    const state = type === FrameType.data ? this.streams.get(stream) : undefined;
    if (!state) return;
    state.unsent -= length;
    state.wake?.();
  }
}
