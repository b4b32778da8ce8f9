/** What every call has: its errors become statuses, faults are logged, deadlines and cancellation end it. */
import type { Interceptor } from "@connectrpc/connect";
import { untilAborted } from "./abort.ts";
import { isFault, toConnectError } from "./connect_error.ts";
import type { Log } from "./log.ts";

export function createInterceptor(log: Log): Interceptor {
  return (next) => async (request) => {
    const fail = (error: unknown) => {
      // After an abort, how the handler ended says less than why it was aborted.
      const status = toConnectError(request.signal.aborted ? request.signal.reason : error);
      if (isFault(status)) log.error("call failed", status.cause ?? status, { method: request.url });
      return status;
    };
    try {
      const response = await untilAborted(next(request), request.signal);
      if (!response.stream) return response;
      return { ...response, message: guard(response.message, request.signal, fail) };
    } catch (error) {
      throw fail(error);
    }
  };
}

/** A stream fails while it is read, so the guard goes around every message. */
async function* guard<T>(
  messages: AsyncIterable<T>,
  signal: AbortSignal,
  fail: (error: unknown) => Error,
): AsyncGenerator<T> {
  const iterator = messages[Symbol.asyncIterator]();
  try {
    while (true) {
      const result = await untilAborted(iterator.next(), signal);
      if (result.done) return;
      yield result.value;
    }
  } catch (error) {
    throw fail(error);
  } finally {
    // Not awaited: a handler that does not listen to the signal must not hold the answer back.
    iterator.return?.().catch(() => {});
  }
}
