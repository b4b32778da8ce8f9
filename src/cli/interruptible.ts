import type { CliContext } from "./context.ts";
import { InterruptedError } from "./errors.ts";

/**
 * Does something that Ctrl-C ends.
 * @throws {InterruptedError} it was ended so; `advice` is what the user is told then
 */
export async function interruptible<T>(
  context: CliContext,
  advice: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const interrupted = new AbortController();
  const removeHandler = context.onInterrupt(() => interrupted.abort());
  try {
    return await work(interrupted.signal);
  } catch (error) {
    throw interrupted.signal.aborted ? new InterruptedError(`Interrupted: ${advice}`) : error;
  } finally {
    removeHandler();
  }
}
