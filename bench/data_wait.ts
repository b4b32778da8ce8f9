/** The share of training steps that goes by until their batches are there. */
import { CENTER_CROP, RANDOM_RESIZED_CROP, type StreamedSource } from "../src/data/mod.ts";
import { ALL_BATCHES, type BatchFeed } from "../src/engine/batch_feed.ts";
import type { Batch } from "../src/engine/batches.ts";
import { pipelined } from "../src/engine/runner.ts";
import { StreamedFeed } from "../src/engine/streamed_feed.ts";
import type { TuningOptions } from "../src/engine/tuning.ts";
import { type Measurement, median, summarise } from "./measure.ts";
import { type NetworkOptions, NetworkSession } from "./network_session.ts";

export interface DataWaitOptions extends NetworkOptions, TuningOptions {
  readonly runs: number;
  readonly matches: (name: string) => boolean;
  readonly signal: AbortSignal;
  /** A streamed data set of at least six batches. */
  readonly photographs: StreamedSource;
}

const BATCHES = 6;
const WARM_UP_RUNS = 1;

/** With images on the GPU, and with image files decoded as they are used. */
export async function* measureDataWait(options: DataWaitOptions): AsyncGenerator<Measurement> {
  const { model, batchSize, image: { height, width, channels }, runs } = options;
  const epochs = WARM_UP_RUNS + runs;
  const name = `waiting for data, ${model} batch ${batchSize} ${height}x${width}`;
  const streamed = () =>
    StreamedFeed.shuffled(options.photographs, {
      size: { height, width, channels: channels === 1 ? 1 : 3 },
      count: BATCHES * batchSize,
      batchSize,
      seed: 1,
      epochs,
      crop: RANDOM_RESIZED_CROP,
      preprocessing: CENTER_CROP,
    });
  for (const [path, open] of [["resident", undefined], ["streamed", streamed]] as const) {
    const title = `${name}, ${path}`;
    if (!options.matches(title)) continue;
    const session = await NetworkSession.open(options, "train", open?.());
    try {
      yield await measure(title, session, { epochs, signal: options.signal });
    } finally {
      session.destroy();
    }
  }
}

async function measure(
  title: string,
  session: NetworkSession,
  { epochs, signal }: { readonly epochs: number; readonly signal: AbortSignal },
): Promise<Measurement> {
  const submit = (batch: Batch) => ({ runner: session.runner, ticket: session.submit(batch) });
  const feed: BatchFeed = session.feed;
  const shares: number[] = [];
  const rates: number[] = [];
  for (let epoch = 0; epoch < epochs; epoch++) {
    let [waited, images] = [0, 0];
    const started = performance.now();
    for await (const { dataWait, batch } of pipelined(feed.batches(epoch, ALL_BATCHES, signal), submit, { signal })) {
      waited += dataWait;
      images += batch.count;
    }
    const seconds = (performance.now() - started) / 1000;
    if (epoch < WARM_UP_RUNS) continue;
    shares.push(waited / seconds);
    rates.push(images / seconds);
  }
  const details = { images_per_second: median(rates) };
  const adapter = session.device.adapter.description;
  return summarise(shares, { benchmark: "data", case: title, unit: "of a step", adapter, details });
}
