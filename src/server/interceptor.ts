/** What every call has: its errors become statuses, faults are logged, deadlines and cancellation end it. */
import type { Interceptor } from "@connectrpc/connect";
import { untilAborted } from "./abort.ts";
import { callKey, statusName } from "./call.ts";
import { isFault, toConnectError } from "./connect_error.ts";
import type { Log } from "./log.ts";
import { runNamed } from "./run_named.ts";

export function createInterceptor(log: Log): Interceptor {
  return (next) => async (request) => {
    const call = request.contextValues.get(callKey);
    const note = (message: unknown) => {
      if (call && call.run === undefined) call.run = runNamed(message);
    };
    const end = (status: string) => {
      if (call) call.status = status;
    };
    const fail = (error: unknown) => {
      // After an abort, how the handler ended says less than why it was aborted.
      const status = toConnectError(request.signal.aborted ? request.signal.reason : error);
      end(statusName(status.code));
      if (isFault(status)) {
        log.error("call failed", status.cause ?? status, {
          request_id: call?.requestId,
          method: call?.method ?? request.url,
        });
      }
      return status;
    };
    const leave = (left: Promise<unknown> | undefined) => {
      // Not awaited: a handler that does not listen to its signal must not hold the answer back.
      left?.catch(() => {});
      if (left) call?.work.push(left);
    };
    try {
      if (!request.stream) note(request.message);
      const handled = next(request);
      call?.work.push(handled);
      const response = await untilAborted(handled, request.signal);
      if (!response.stream) {
        end("ok");
        return response;
      }
      return { ...response, message: guard(response.message, request.signal, { note, end, fail, leave }) };
    } catch (error) {
      throw fail(error);
    }
  };
}

interface Watcher {
  note(message: unknown): void;
  end(status: string): void;
  fail(error: unknown): Error;
  leave(left: Promise<unknown> | undefined): void;
}

/** A stream fails while it is read, so the guard goes around every message. */
async function* guard<T>(messages: AsyncIterable<T>, signal: AbortSignal, watcher: Watcher): AsyncGenerator<T> {
  const iterator = messages[Symbol.asyncIterator]();
  try {
    while (true) {
      const result = await untilAborted(iterator.next(), signal);
      if (result.done) break;
      watcher.note(result.value);
      yield result.value;
    }
    watcher.end("ok");
  } catch (error) {
    throw watcher.fail(error);
  } finally {
    watcher.leave(iterator.return?.());
  }
}
