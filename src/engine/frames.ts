/**
 * Messages on a byte stream: the length in bytes (u32, little endian), then the message as V8 serialises it, which is
 * the structured clone that `postMessage` makes: typed arrays, maps, NaN and undefined arrive as they were.
 */
import { deserialize, serialize } from "node:v8";

const LENGTH_BYTES = 4;
/** More than any message; a length past it is no message's. */
const MAX_BYTES = 2 ** 30;

/** The bytes of one message. @throws {RangeError} when it is too large. */
export function encodeFrame(message: unknown): Uint8Array<ArrayBuffer> {
  const body = serialize(message);
  if (body.length > MAX_BYTES) throw new RangeError(`Cannot send ${body.length} bytes: the limit is ${MAX_BYTES}`);
  const frame = new Uint8Array(LENGTH_BYTES + body.length);
  new DataView(frame.buffer).setUint32(0, body.length, true);
  frame.set(body, LENGTH_BYTES);
  return frame;
}

/**
 * The messages of a stream, until it ends; a last one that is cut off is left out.
 * @throws {RangeError} for bytes that are no messages.
 */
export async function* readFrames(stream: ReadableStream<Uint8Array>): AsyncGenerator<unknown> {
  const reader = new ByteReader(stream.getReader());
  try {
    while (true) {
      const length = await reader.read(LENGTH_BYTES);
      if (!length) return;
      const bytes = new DataView(length.buffer).getUint32(0, true);
      if (bytes > MAX_BYTES) throw new RangeError(`Cannot read a message of ${bytes} bytes: the limit is ${MAX_BYTES}`);
      const body = await reader.read(bytes);
      if (!body) return;
      yield deserialize(body);
    }
  } finally {
    await reader.cancel();
  }
}

class ByteReader {
  readonly #source: ReadableStreamDefaultReader<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array();

  constructor(source: ReadableStreamDefaultReader<Uint8Array>) {
    this.#source = source;
  }

  /** Exactly `count` bytes in a buffer of their own; undefined where the stream ends before. */
  async read(count: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const result = new Uint8Array(count);
    let filled = 0;
    while (filled < count) {
      if (this.#chunk.length === 0) {
        const { done, value } = await this.#source.read();
        if (done) return undefined;
        this.#chunk = value;
      }
      const part = this.#chunk.subarray(0, count - filled);
      result.set(part, filled);
      filled += part.length;
      this.#chunk = this.#chunk.subarray(part.length);
    }
    return result;
  }

  async cancel(): Promise<void> {
    await this.#source.cancel().catch(() => {});
  }
}
