import type { Split } from "../dataset.ts";
import { DatasetError } from "../errors.ts";
import { PreparedStream } from "./prepared_stream.ts";
import type { FromWorker, StreamRequest, ToWorker } from "./preparer_messages.ts";

export interface StreamedSource {
  readonly dataDir: string;
  readonly name: string;
  readonly split: Split;
}

/**
 * Prepares the images of a split of a streamed data set batch by batch on other threads, a bounded number of batches
 * ahead. One stream at a time.
 */
export class BatchPreparer implements AsyncDisposable {
  readonly #worker = new Worker(new URL("./preparer_worker.ts", import.meta.url), { type: "module" });
  readonly #closed = Promise.withResolvers<void>();
  #number = 0;
  #stream = new PreparedStream(() => {});

  constructor(source: StreamedSource) {
    this.#stream.end();
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#take(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#stream.end(new Error(`The thread that prepares images failed: ${event.message}`));
      this.#closed.resolve();
    };
    this.#post({ kind: "open", ...source });
  }

  /** Prepares batches from now on; what was being prepared is given up. */
  start(request: StreamRequest): PreparedStream {
    this.#stream.abandon();
    const number = ++this.#number;
    this.#stream = new PreparedStream((buffer) => this.#post({ kind: "used", stream: number, buffer }, [buffer]));
    this.#post({ kind: "start", stream: number, request });
    return this.#stream;
  }

  /** Gives up what is being prepared. */
  stop(): void {
    this.#stream.abandon();
    this.#post({ kind: "stop" });
  }

  /** Lets go once the images under way are done; @returns when that is so */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stream.abandon();
    this.#post({ kind: "close" });
    await this.#closed.promise;
  }

  #take(message: FromWorker): void {
    if (message.kind === "closed") return this.#closed.resolve();
    if (message.stream !== this.#number) return;
    switch (message.kind) {
      case "batch": {
        const { indices, labels, buffer } = message;
        return this.#stream.add({ indices, labels, pixels: new Uint8Array(buffer) });
      }
      case "end":
        return this.#stream.end();
      case "failed": {
        const { error, message: text } = message;
        return this.#stream.end(error ? new DatasetError(error, text) : new Error(text));
      }
    }
  }

  #post(message: ToWorker, transfer: Transferable[] = []): void {
    this.#worker.postMessage(message, transfer);
  }
}
