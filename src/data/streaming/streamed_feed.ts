import type { Split } from "../dataset.ts";
import { DatasetError } from "../errors.ts";
import type { FromWorker, StreamRequest, ToWorker } from "./feed_messages.ts";
import type { PreparedBatch } from "./prepared_batches.ts";

export interface StreamedSource {
  readonly dataDir: string;
  readonly name: string;
  readonly split: Split;
}

interface Stream {
  readonly number: number;
  /** Batches that have come and were not asked for yet. */
  readonly ready: PreparedBatch[];
  /** How it ended. */
  end?: { readonly error?: Error };
}

/**
 * The images of a split of a streamed data set, prepared batch by batch on other threads, a bounded number of batches
 * ahead. One stream at a time.
 */
export class StreamedFeed implements AsyncDisposable {
  readonly #worker = new Worker(new URL("./feed_worker.ts", import.meta.url), { type: "module" });
  readonly #closed = Promise.withResolvers<void>();
  #stream: Stream = { number: 0, ready: [] };
  #news = Promise.withResolvers<void>();

  constructor(source: StreamedSource) {
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#take(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#end(new Error(`The thread that prepares images failed: ${event.message}`));
      this.#closed.resolve();
    };
    this.#post({ kind: "open", ...source });
  }

  /**
   * Prepares batches from now on; what was being prepared is given up. A batch's pixels are the taker's until the next
   * one is asked for.
   *
   * @throws {DatasetError} `damaged`, naming the image, or `storage`; the signal's reason where it is aborted
   */
  stream(request: StreamRequest, signal: AbortSignal): AsyncGenerator<PreparedBatch> {
    this.#stream.ready.length = 0;
    this.#end(new Error("Cannot go on with a stream: another one was begun"));
    const stream: Stream = { number: this.#stream.number + 1, ready: [] };
    this.#stream = stream;
    this.#post({ kind: "start", stream: stream.number, request });
    return this.#batches(stream, signal);
  }

  /** Lets go once the images under way are done; @returns when that is so */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#post({ kind: "close" });
    await this.#closed.promise;
  }

  async *#batches(stream: Stream, signal: AbortSignal): AsyncGenerator<PreparedBatch> {
    const onAbort = () => this.#news.resolve();
    signal.addEventListener("abort", onAbort);
    try {
      for (;;) {
        signal.throwIfAborted();
        const batch = stream.ready.shift();
        if (batch) {
          yield batch;
          const { buffer } = batch.pixels;
          this.#post({ kind: "used", stream: stream.number, buffer }, [buffer]);
        } else if (stream.end) {
          if (stream.end.error) throw stream.end.error;
          return;
        } else {
          await this.#news.promise;
          this.#news = Promise.withResolvers();
        }
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      if (stream === this.#stream && !stream.end) this.#post({ kind: "stop" });
    }
  }

  #take(message: FromWorker): void {
    if (message.kind === "closed") {
      this.#end(new Error("The thread that prepares images was closed"));
      this.#closed.resolve();
      return;
    }
    if (message.stream !== this.#stream.number) return;
    switch (message.kind) {
      case "batch": {
        const { indices, labels, buffer } = message;
        this.#stream.ready.push({ indices, labels, pixels: new Uint8Array(buffer) });
        this.#news.resolve();
        return;
      }
      case "end":
        return this.#end();
      case "failed":
        return this.#end(message.error ? new DatasetError(message.error, message.message) : new Error(message.message));
    }
  }

  #end(error?: Error): void {
    this.#stream.end ??= { error };
    this.#news.resolve();
  }

  #post(message: ToWorker, transfer: Transferable[] = []): void {
    this.#worker.postMessage(message, transfer);
  }
}
