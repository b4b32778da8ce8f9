/** Buffers for batches: there are only so many, and whoever wants one waits its turn until one comes back. */
export class BufferPool implements Disposable {
  readonly #free: Uint8Array<ArrayBuffer>[] = [];
  readonly #waiting: PromiseWithResolvers<Uint8Array<ArrayBuffer>>[] = [];
  #unmade: number;
  #isClosed = false;

  /** @param bytes of each; they are made as they are first needed */
  constructor(readonly bytes: number, count: number) {
    this.#unmade = count;
  }

  /** @throws {PoolClosedError} once the pool is closed: what is being prepared is wanted no more. */
  throwIfClosed(): void {
    if (this.#isClosed) throw new PoolClosedError();
  }

  /** In the order of the calls. @throws {PoolClosedError} once the pool is closed */
  async take(): Promise<Uint8Array<ArrayBuffer>> {
    this.throwIfClosed();
    const free = this.#free.pop();
    if (free) return free;
    if (this.#unmade > 0) {
      this.#unmade--;
      return new Uint8Array(this.bytes);
    }
    const turn = Promise.withResolvers<Uint8Array<ArrayBuffer>>();
    this.#waiting.push(turn);
    return await turn.promise;
  }

  /** @param buffer one that was taken, or one as long that replaces it */
  give(buffer: Uint8Array<ArrayBuffer>): void {
    const next = this.#waiting.shift();
    if (next) next.resolve(buffer);
    else this.#free.push(buffer);
  }

  /** Whoever waits is told. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const { reject } of this.#waiting.splice(0)) reject(new PoolClosedError());
  }
}

/** Nobody wants batches any more. */
export class PoolClosedError extends Error {
  override readonly name = "PoolClosedError";
}
