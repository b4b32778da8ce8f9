/** How long work shares its thread: with other calls, with what tells it to end. */
import type { Interlude } from "../gpu/mod.ts";

/** Milliseconds of work between two turns of the event loop, each of which costs about one. */
const STRETCH_MS = 20;

/** Interludes that let the event loop turn often enough, and throw the signal's reason once it is aborted. */
export function paced(signal: AbortSignal): Interlude {
  let turned = performance.now();
  return async () => {
    if (performance.now() - turned >= STRETCH_MS) {
      await eventLoopTurn();
      turned = performance.now();
    }
    signal.throwIfAborted();
  };
}

/** Lets messages and timers be handled. */
export function eventLoopTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
