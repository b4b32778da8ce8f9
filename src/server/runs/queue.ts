/** Jobs that take turns: one at a time, in the order they came. */

/** @param signal aborted by `RunQueue.stop()`; the job then ends soon */
export type Job = (signal: AbortSignal) => Promise<void>;

interface Entry {
  readonly id: string;
  readonly job: Job;
}

export class RunQueue {
  private readonly waiting: Entry[] = [];
  private current: { id: string; abort: AbortController; done: Promise<void> } | undefined;

  /** The job that runs. */
  get active(): string | undefined {
    return this.current?.id;
  }

  /** Jobs that wait. */
  get length(): number {
    return this.waiting.length;
  }

  /** @param job must not throw */
  add(id: string, job: Job): void {
    this.waiting.push({ id, job });
    this.startNext();
  }

  /** Takes a waiting job out; false: it does not wait. */
  remove(id: string): boolean {
    const index = this.waiting.findIndex((entry) => entry.id === id);
    if (index < 0) return false;
    this.waiting.splice(index, 1);
    return true;
  }

  /** Aborts the job if it runs; resolves when it has ended. */
  async stop(id: string, reason: unknown): Promise<void> {
    const current = this.current;
    if (current?.id !== id) return;
    current.abort.abort(reason);
    await current.done;
  }

  /** Drops all that wait. */
  clear(): void {
    this.waiting.length = 0;
  }

  private startNext(): void {
    if (this.current) return;
    const entry = this.waiting.shift();
    if (!entry) return;
    const abort = new AbortController();
    const done = entry.job(abort.signal).finally(() => {
      this.current = undefined;
      this.startNext();
    });
    this.current = { id: entry.id, abort, done };
  }
}
