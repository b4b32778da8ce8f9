/** HTTP/2 by hand: frames as a client of ill will sends them. */
import net from "node:net";

export const preface = new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
export const FrameType = { data: 0, headers: 1, resetStream: 3, settings: 4, ping: 6, goaway: 7, windowUpdate: 8 };
const endHeaders = 0x4;
const acknowledged = 0x1;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Uint8Array;
}

export function frame(type: number, { flags = 0, stream = 0, payload = new Uint8Array() }: Partial<Frame> = {}) {
  const bytes = new Uint8Array(9 + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, payload.length << 8);
  bytes[3] = type;
  bytes[4] = flags;
  view.setUint32(5, stream);
  bytes.set(payload, 9);
  return bytes;
}

/** SETTINGS_INITIAL_WINDOW_SIZE: bytes of each stream that the server may send unasked. */
export function windowSetting(bytes: number): Uint8Array {
  const payload = new Uint8Array(6);
  new DataView(payload.buffer).setUint16(0, 4);
  new DataView(payload.buffer).setUint32(2, bytes);
  return frame(FrameType.settings, { payload });
}

/** HEADERS of a POST with literal fields (RFC 7541, section 6.2.2). */
export function post(stream: number, path: string, headers: Readonly<Record<string, string>> = {}): Uint8Array {
  const fields = { ":path": path, ":authority": "x", "content-type": "application/grpc", te: "trailers", ...headers };
  // :method POST and :scheme http are in the static table.
  const block = [0x83, 0x86];
  for (const [name, value] of Object.entries(fields)) block.push(0, ...literal(name), ...literal(value));
  return frame(FrameType.headers, { flags: endHeaders, stream, payload: Uint8Array.from(block) });
}

function literal(text: string): number[] {
  const bytes = new TextEncoder().encode(text);
  return [...integer(bytes.length), ...bytes];
}

/** With a prefix of 7 bits (RFC 7541, section 5.1). */
function integer(value: number): number[] {
  if (value < 127) return [value];
  const bytes = [127];
  for (value -= 127; value >= 128; value >>= 7) bytes.push((value & 127) | 128);
  return [...bytes, value];
}

/** A message as gRPC frames it. */
export function grpcMessage(bytes: Uint8Array = new Uint8Array()): Uint8Array {
  const message = new Uint8Array(5 + bytes.length);
  new DataView(message.buffer).setUint32(1, bytes.length);
  message.set(bytes, 5);
  return message;
}

/** A connection that sends what it is told, and answers nothing by itself but SETTINGS, once begun. */
export class RawConnection implements Disposable {
  readonly frames: Frame[] = [];
  readonly closed: Promise<void>;
  private readonly socket: net.Socket;
  private received = new Uint8Array();
  private begun = false;

  constructor(address: string) {
    const [host, port] = address.split(":");
    this.socket = net.connect(Number(port), host);
    this.closed = new Promise((resolve) => this.socket.once("close", () => resolve()));
    this.socket.on("error", () => {});
    this.socket.on("data", (chunk: Uint8Array) => this.receive(chunk));
  }

  send(...parts: readonly Uint8Array[]): void {
    for (const part of parts) this.socket.write(part);
  }

  /** The connection's beginning. */
  begin(...settings: readonly Uint8Array[]): void {
    this.begun = true;
    this.send(preface, ...settings.length > 0 ? settings : [frame(FrameType.settings)]);
  }

  /** Reads nothing any more. */
  pause(): void {
    this.socket.pause();
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  private receive(chunk: Uint8Array): void {
    const bytes = new Uint8Array(this.received.length + chunk.length);
    bytes.set(this.received);
    bytes.set(chunk, this.received.length);
    let at = 0;
    while (at + 9 <= bytes.length) {
      const view = new DataView(bytes.buffer, at);
      const length = view.getUint32(0) >>> 8;
      if (at + 9 + length > bytes.length) break;
      const [type, flags, stream] = [bytes[at + 3], bytes[at + 4], view.getUint32(5)];
      this.frames.push({ type, flags, stream, payload: bytes.slice(at + 9, at + 9 + length) });
      if (this.begun && type === FrameType.settings && flags === 0) this.send(frame(type, { flags: acknowledged }));
      at += 9 + length;
    }
    this.received = bytes.slice(at);
  }
}
