/** Promises and abort signals. */

/**
 * The promise's outcome, or the signal's reason if that comes first. Unlike a race against a promise of the
 * abort, it leaves nothing behind on a signal that outlives many calls.
 */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: outcome, resolve, reject } = Promise.withResolvers<T>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  return outcome;
}
