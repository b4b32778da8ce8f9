import { setTimeout as delay } from "node:timers/promises";

/** Bytes that may wait in this process to be sent. */
const MOST_WAITING = 4 * 2 ** 20;
/** Milliseconds between two looks at what was sent. */
const LOOK_EVERY = 5;

/**
 * Holds a writer back to what the network takes: Deno's `node:http2` (2.9.3) keeps in memory whatever is written, and
 * tells nothing of it.
 *
 * @param bytesSent on the way to the server so far; less than before: the connection is gone, and writing tells so
 * @returns to be awaited with the bytes about to be written; rejects with the signal's abort
 */
export function pacer(bytesSent: () => number, signal: AbortSignal): (bytes: number) => Promise<void> {
  const before = bytesSent();
  let written = 0;
  return async (bytes) => {
    written += bytes;
    for (let sent = bytesSent(); sent >= before && written - (sent - before) > MOST_WAITING; sent = bytesSent()) {
      await delay(LOOK_EVERY, undefined, { signal });
    }
  };
}
