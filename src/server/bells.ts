/** Waiters woken in a turn, and milliseconds from one turn to the next: 2,000 a second at most. */
const wokenInTurn = 32;
const turnInterval = 16;

/**
 * Wakes those who wait for news of a topic, such as a run. Many are woken in turns, at a rate that leaves the thread
 * time for other work: the more there are, the later and the rarer is each one's turn, and the more news it finds.
 */
export class Bells {
  private readonly waiting = new Map<string, Set<() => void>>();
  /** Those who are to be woken, in the order of their waiting. */
  private readonly queue = new Set<() => void>();
  private nextTurn: ReturnType<typeof setTimeout> | undefined;
  private turnBegan = -Infinity;
  private wokenThisTurn = 0;

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
      this.queue.delete(wake);
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

  /** Wakes all who wait: at once as many as a turn has room for. */
  ring(topic: string): void {
    this.enqueue(topic);
    if (this.nextTurn === undefined) this.takeTurn();
  }

  /** Wakes everybody at once. */
  ringAll(): void {
    for (const topic of [...this.waiting.keys()]) this.enqueue(topic);
    for (const wake of this.queue) wake();
    clearTimeout(this.nextTurn);
    this.nextTurn = undefined;
  }

  /** Waiters over all topics that no ring was for yet. */
  get size(): number {
    return [...this.waiting.values()].reduce((sum, waiters) => sum + waiters.size, 0);
  }

  private enqueue(topic: string): void {
    for (const wake of this.waiting.get(topic) ?? []) this.queue.add(wake);
    this.waiting.delete(topic);
  }

  private takeTurn(): void {
    this.nextTurn = undefined;
    const now = performance.now();
    if (now >= this.turnBegan + turnInterval) {
      this.turnBegan = now;
      this.wokenThisTurn = 0;
    }
    for (const wake of this.queue) {
      if (this.wokenThisTurn === wokenInTurn) break;
      this.wokenThisTurn++;
      wake();
    }
    if (this.queue.size === 0) return;
    this.nextTurn = setTimeout(() => this.takeTurn(), this.turnBegan + turnInterval - now);
  }
}
