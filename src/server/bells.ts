/** Wakes those who wait for news of a topic, such as a run. */
export class Bells {
  private readonly waiting = new Map<string, Set<() => void>>();

  /**
   * Waits for the next ring of the topic. Listen first, then look, then await: so no ring is missed.
   * @param patience in milliseconds; default: any time
   * @returns whether it rang in that time
   * @throws the signal's reason when it aborts first.
   */
  next(topic: string, signal: AbortSignal, patience?: number): Promise<boolean> {
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    const waiters = this.waiting.get(topic) ?? new Set();
    this.waiting.set(topic, waiters);
    const forget = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", leave);
      waiters.delete(wake);
      if (waiters.size === 0 && this.waiting.get(topic) === waiters) this.waiting.delete(topic);
    };
    const wake = () => {
      forget();
      resolve(true);
    };
    const leave = () => {
      forget();
      reject(signal.reason);
    };
    const giveUp = () => {
      forget();
      resolve(false);
    };
    const timer = patience === undefined ? undefined : setTimeout(giveUp, patience);
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

  /** Rings for every topic. */
  ringAll(): void {
    for (const topic of [...this.waiting.keys()]) this.ring(topic);
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
    wake();
  }
}
