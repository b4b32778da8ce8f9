/** Files that clients send: so many at a time, in pieces, without long silences. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { UploadDatasetRequest } from "../gen/mod.ts";
import { untilAborted } from "./abort.ts";
import { InvalidFieldError, RequestError } from "./errors.ts";
import { checkUploadHeader, type UploadOrder } from "./validation/dataset_import.ts";

/** Each writes to the disk and then decodes, beside training. */
const mostUploads = 4;
const mostBytes = 2 ** 20;
/** Milliseconds until the header comes: an upload that is none should hold no other one's place. */
const headerPatience = 30_000;

export interface Upload extends Disposable {
  readonly order: UploadOrder;
  /** The content, as fast as it is asked for. @throws {RequestError} @throws {ConnectError} */
  readonly chunks: AsyncIterable<Uint8Array>;
}

export class Uploads {
  private underWay = 0;

  /** @param patience milliseconds that a client may send nothing */
  constructor(private readonly patience: number) {}

  /**
   * Reads the header; the content is left to be asked for.
   * @param signal the call's: what a client that is gone has begun may never end by itself
   * @throws {RequestError} resource-exhausted, or a field is wrong
   */
  async begin(requests: AsyncIterable<UploadDatasetRequest>, signal: AbortSignal): Promise<Upload> {
    if (this.underWay >= mostUploads) {
      throw new RequestError("resource-exhausted", `The server takes at most ${mostUploads} uploads at a time`);
    }
    this.underWay++;
    try {
      const messages = requests[Symbol.asyncIterator]();
      const next = (patience: number) => untilAborted(this.next(messages, patience), signal);
      const first = await next(Math.min(headerPatience, this.patience));
      if (first.done || first.value.kind.case !== "header") {
        throw new InvalidFieldError("header", undefined, "the first message of an upload");
      }
      return {
        order: checkUploadHeader(first.value.kind.value),
        chunks: contentOf(() => next(this.patience)),
        [Symbol.dispose]: () => {
          this.underWay--;
        },
      };
    } catch (error) {
      this.underWay--;
      throw error;
    }
  }

  private async next(
    messages: AsyncIterator<UploadDatasetRequest>,
    patience: number,
  ): Promise<IteratorResult<UploadDatasetRequest>> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const error = new ConnectError(`Nothing of the upload came for ${patience / 1000} s`, Code.DeadlineExceeded);
    const timer = setTimeout(() => reject(error), patience);
    const coming = messages.next();
    coming.catch(() => {});
    return await Promise.race([coming, late]).finally(() => clearTimeout(timer));
  }
}

async function* contentOf(
  next: () => Promise<IteratorResult<UploadDatasetRequest>>,
): AsyncGenerator<Uint8Array> {
  for (;;) {
    const { done, value } = await next();
    if (done) return;
    const { kind } = value;
    if (kind.case !== "data") throw new InvalidFieldError("data", undefined, "set in every message after the first");
    if (kind.value.length > mostBytes) {
      throw new InvalidFieldError("data", `${kind.value.length} bytes`, `at most ${mostBytes} bytes`);
    }
    yield kind.value;
  }
}
