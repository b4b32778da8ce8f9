/** Jobs that take turns: one at a time, in order. */

/** How a job that runs is told to end. */
export interface JobControl {
  /** Aborted by `RunQueue.stop()`: the job ends soon. */
  readonly signal: AbortSignal;
  /** Aborted by `RunQueue.pause()`: the job ends when it has kept what it did. */
  readonly pause: AbortSignal;
}

/** Must not throw. */
export type Job = (control: JobControl) => Promise<void>;

export interface Entry {
  readonly id: string;
  /** Jobs with a lower one go first. */
  readonly order: number;
  readonly job: Job;
}

interface Current {
  readonly id: string;
  readonly stop: AbortController;
  readonly pause: AbortController;
  readonly done: Promise<void>;
}

export class RunQueue {
  private waiting: Entry[] = [];
  private current: Current | undefined;
  private held = false;

  /** The job that runs. */
  get active(): string | undefined {
    return this.current?.id;
  }

  /** Jobs that wait. */
  get length(): number {
    return this.waiting.length;
  }

  add(entry: Entry): void {
    this.waiting.push(entry);
    this.waiting.sort((a, b) => a.order - b.order);
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
  stop(id: string, reason: unknown): Promise<void> {
    return this.end(id, (current) => current.stop.abort(reason));
  }

  /** Asks the job to pause if it runs; resolves when it has ended. */
  pause(id: string): Promise<void> {
    return this.end(id, (current) => current.pause.abort());
  }

  /** Starts no more jobs until `release()`. */
  hold(): void {
    this.held = true;
  }

  release(): void {
    this.held = false;
    this.startNext();
  }

  /** Drops all that wait. */
  clear(): void {
    this.waiting = [];
  }

  private async end(id: string, tell: (current: Current) => void): Promise<void> {
    const current = this.current;
    if (current?.id !== id) return;
    tell(current);
    await current.done;
  }

  private startNext(): void {
    if (this.current || this.held) return;
    const entry = this.waiting.shift();
    if (!entry) return;
    const [stop, pause] = [new AbortController(), new AbortController()];
    const done = entry.job({ signal: stop.signal, pause: pause.signal }).finally(() => {
      this.current = undefined;
      this.startNext();
    });
    this.current = { id: entry.id, stop, pause, done };
  }
}
