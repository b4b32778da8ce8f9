/** Requests that arrive in time: a client that trickles one would hold a call's place for ever. */
import { Code, ConnectError } from "@connectrpc/connect";

export interface Timeliness {
  /** Milliseconds of waiting for the client. */
  readonly timeout: number;
  /** Whether only each message has to be whole in time, or all of the body; between messages a stream may be silent. */
  readonly stream: boolean;
}

/**
 * Passes the body on.
 * @throws {ConnectError} deadline-exceeded; canceled: the client has gone.
 */
export async function* timely(
  body: AsyncIterable<Uint8Array>,
  { timeout, stream }: Timeliness,
): AsyncGenerator<Uint8Array> {
  const chunks = body[Symbol.asyncIterator]();
  const messages = new MessageMeter();
  let left = timeout;
  try {
    while (true) {
      const began = performance.now();
      const chunk = await within(chunks.next(), stream && messages.isBetween ? Infinity : left, timeout);
      if (chunk.done) return;
      left -= performance.now() - began;
      if (stream && messages.push(chunk.value)) left = timeout;
      yield chunk.value;
    }
  } catch (error) {
    // Whatever ends a request early, it is the client or the way to it.
    throw error instanceof ConnectError ? error : new ConnectError("The request was cut short", Code.Canceled);
  } finally {
    // Not awaited: it may be the wait for the client itself.
    chunks.return?.().catch(() => {});
  }
}

async function within<T>(promise: Promise<T>, left: number, timeout: number): Promise<T> {
  if (left === Infinity) return await promise;
  const { promise: late, reject } = Promise.withResolvers<never>();
  const error = new ConnectError(`The request did not arrive within ${timeout / 1000} s`, Code.DeadlineExceeded);
  const timer = setTimeout(() => reject(error), Math.max(0, left));
  promise.catch(() => {});
  return await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Follows messages of five bytes of header, the last four of which are the length of what comes then. */
class MessageMeter {
  private readonly header = new Uint8Array(5);
  private headerFilled = 0;
  private toSkip = 0;

  /** Whether what came so far ends with a message. */
  get isBetween(): boolean {
    return this.headerFilled === 0 && this.toSkip === 0;
  }

  /** @returns whether a message ended in the chunk */
  push(chunk: Uint8Array): boolean {
    let ended = false;
    let at = 0;
    while (at < chunk.length) {
      if (this.toSkip > 0) {
        const skipped = Math.min(this.toSkip, chunk.length - at);
        this.toSkip -= skipped;
        at += skipped;
        ended ||= this.toSkip === 0;
        continue;
      }
      this.header[this.headerFilled++] = chunk[at++];
      if (this.headerFilled < this.header.length) continue;
      this.headerFilled = 0;
      this.toSkip = new DataView(this.header.buffer).getUint32(1);
      ended ||= this.toSkip === 0;
    }
    return ended;
  }
}
