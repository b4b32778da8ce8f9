/**
 * The thread that reads, decodes and crops the images of a streamed split. It has an event loop of its own, because that
 * of the thread that trains stands still while the GPU works; the image library decodes on further threads.
 */
import type { StreamedSplit } from "../cache/streamed_reader.ts";
import { imageBytes } from "../dataset.ts";
import { DatasetError } from "../errors.ts";
import { DatasetRegistry } from "../registry.ts";
import { BufferPool, PoolClosedError } from "./buffer_pool.ts";
import type { FromWorker, StreamRequest, ToWorker } from "./preparer_messages.ts";
import { prepareBatches } from "./prepared_batches.ts";

/** Deno's types are those of the main thread. */
interface WorkerScope {
  postMessage(message: FromWorker, transfer?: Transferable[]): void;
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  close(): void;
}
const scope = self as unknown as WorkerScope;

let split: Promise<StreamedSplit> = Promise.reject(new Error("Cannot stream: no split was opened"));
split.catch(() => {});
let current: { readonly stream: number; readonly buffers: BufferPool; readonly done: Promise<void> } | undefined;

scope.onmessage = async ({ data: message }) => {
  switch (message.kind) {
    case "open":
      split = new DatasetRegistry(message.dataDir).openStreamed(message.name, message.split);
      split.catch(() => {});
      return;
    case "start": {
      const { stream, request } = message;
      const before = current;
      before?.buffers[Symbol.dispose]();
      const buffers = new BufferPool(bufferBytes(request), request.depth);
      current = {
        stream,
        buffers,
        done: (before?.done ?? Promise.resolve()).then(() => run(stream, request, buffers)),
      };
      return;
    }
    case "used":
      if (current?.stream === message.stream) current.buffers.give(new Uint8Array(message.buffer));
      return;
    case "stop":
      current?.buffers[Symbol.dispose]();
      return;
    case "close":
      current?.buffers[Symbol.dispose]();
      await current?.done;
      await split.then((opened) => opened[Symbol.asyncDispose](), () => {});
      scope.postMessage({ kind: "closed" });
      scope.close();
  }
};

/** Never throws. */
async function run(stream: number, request: StreamRequest, buffers: BufferPool): Promise<void> {
  const { size, view, inFlight, depth: ahead } = request;
  try {
    const options = { size, view, inFlight, ahead, buffers };
    for await (const { indices, labels, pixels } of prepareBatches(await split, batchesOf(request), options)) {
      scope.postMessage({ kind: "batch", stream, indices, labels, buffer: pixels.buffer }, [pixels.buffer]);
    }
    scope.postMessage({ kind: "end", stream });
  } catch (error) {
    if (error instanceof PoolClosedError) return;
    const message = error instanceof Error ? error.message : String(error);
    scope.postMessage({
      kind: "failed",
      stream,
      message,
      error: error instanceof DatasetError ? error.kind : undefined,
    });
  }
}

function* batchesOf({ order, batchSize }: StreamRequest): Generator<Uint32Array<ArrayBuffer>> {
  for (let start = 0; start < order.length; start += batchSize) yield order.slice(start, start + batchSize);
}

/** The GPU takes whole 32-bit words. */
function bufferBytes({ batchSize, size }: StreamRequest): number {
  return Math.ceil(batchSize * imageBytes(size) / 4) * 4;
}
