/**
 * Planning a network of a thousand layers takes the engine seconds, in which no step is trained, and describing it holds
 * up the server. So both take turns, with as much time for other work between two.
 */
import { RequestError } from "./errors.ts";

/** Plans that wait for their turn, and the one that is made; another one is refused. */
export const mostPlans = 100;

export class PlanningTurns {
  private plans = 0;
  private last: Promise<void> = Promise.resolve();
  /** On the clock of `performance.now()`: when the next may begin. */
  private nextTime = 0;

  /**
   * Makes a plan when its turn has come.
   * @param signal aborted, the plan is not begun
   * @throws {RequestError} resource-exhausted: too many wait.
   * @throws what `plan` throws; the signal's reason.
   */
  async take<T>(plan: () => T | Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.plans >= mostPlans) {
      throw new RequestError(
        "resource-exhausted",
        `At most ${mostPlans} networks wait to be planned, and as many do: try again later`,
      );
    }
    this.plans++;
    const { last } = this;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.last = promise;
    await last;
    let began = performance.now();
    try {
      signal?.throwIfAborted();
      if (this.nextTime > began) await new Promise((rested) => setTimeout(rested, this.nextTime - began));
      began = performance.now();
      return await plan();
    } finally {
      const ended = performance.now();
      this.nextTime = Math.max(this.nextTime, ended + (ended - began));
      this.plans--;
      resolve();
    }
  }
}
