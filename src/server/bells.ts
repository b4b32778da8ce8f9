/** Wakes those who wait for news of a topic, such as a run. */
export class Bells {
  private readonly waiting = new Map<string, Set<() => void>>();

  /**
   * Resolves at the next ring of the topic. Listen first, then look, then await: so no ring is missed.
   * @throws the signal's reason when it aborts first.
   */
  next(topic: string, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiters = this.waiting.get(topic) ?? new Set();
    this.waiting.set(topic, waiters);
    const wake = () => {
      signal.removeEventListener("abort", leave);
      resolve();
    };
    const leave = () => {
      waiters.delete(wake);
      if (waiters.size === 0 && this.waiting.get(topic) === waiters) this.waiting.delete(topic);
      reject(signal.reason);
    };
    waiters.add(wake);
    signal.addEventListener("abort", leave, { once: true });
    if (signal.aborted) leave();
    // Who looked and found news drops the promise; its rejection is nobody's then.
    promise.catch(() => {});
    return promise;
  }

  /** Wakes all, some at a time, so that other work is not held up by many. */
  ring(topic: string): void {
    const waiters = this.waiting.get(topic);
    this.waiting.delete(topic);
    if (waiters) wakeInTurns(waiters);
  }

  /** Waiters over all topics. */
  get size(): number {
    return [...this.waiting.values()].reduce((sum, waiters) => sum + waiters.size, 0);
  }
}

/** Waiters woken at a time. */
const wokenTogether = 32;

function wakeInTurns(waiters: Set<() => void>): void {
  let woken = 0;
  for (const wake of waiters) {
    if (woken++ === wokenTogether) {
      setTimeout(() => wakeInTurns(waiters));
      return;
    }
    waiters.delete(wake);
    wake();
  }
}
