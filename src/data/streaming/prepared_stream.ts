import type { PreparedBatch } from "./prepared_batches.ts";

/** The batches of one request as they come from the thread that prepares them. */
export class PreparedStream {
  readonly #ready: PreparedBatch[] = [];
  readonly #giveBack: (buffer: ArrayBuffer) => void;
  #taken: PreparedBatch | undefined;
  #end: { readonly error?: Error } | undefined;
  #news = Promise.withResolvers<void>();

  /** @param giveBack takes the buffers of batches that are no longer used */
  constructor(giveBack: (buffer: ArrayBuffer) => void) {
    this.#giveBack = giveBack;
  }

  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  /**
   * The next batch; undefined after the last. The pixels of the one before are no longer the caller's.
   *
   * @throws {DatasetError} `damaged`, naming the image, or `storage`; the signal's reason where it is aborted
   */
  async next(signal: AbortSignal): Promise<PreparedBatch | undefined> {
    const onAbort = () => this.#news.resolve();
    signal.addEventListener("abort", onAbort);
    try {
      if (this.#taken) this.#giveBack(this.#taken.pixels.buffer);
      this.#taken = undefined;
      for (;;) {
        signal.throwIfAborted();
        this.#taken = this.#ready.shift();
        if (this.#taken) return this.#taken;
        if (this.#end?.error) throw this.#end.error;
        if (this.#end) return undefined;
        await this.#news.promise;
        this.#news = Promise.withResolvers();
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Another batch has come. */
  add(batch: PreparedBatch): void {
    if (this.hasEnded) return;
    this.#ready.push(batch);
    this.#news.resolve();
  }

  /** No more come; those that did can still be taken. */
  end(error?: Error): void {
    this.#end ??= { error };
    this.#news.resolve();
  }

  /** What has come is forgotten. */
  abandon(): void {
    this.#ready.length = 0;
    this.end(new Error("Cannot take a batch of a stream that was left"));
  }
}
