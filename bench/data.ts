/**
 * Images a second from the disk to the batch: imported by each reader, decoded and cropped for training beside what the
 * image library does by itself; and the share of training steps spent waiting for data.
 */
import sharp from "sharp";
import {
  BatchPreparer,
  CENTER_CROP,
  DatasetRegistry,
  RANDOM_RESIZED_CROP,
  randomRegion,
  type View,
} from "../src/data/mod.ts";
import { type DataWaitOptions, measureDataWait } from "./data_wait.ts";
import { type Measurement, median, summarise } from "./measure.ts";
import { makePhotographs, PHOTOGRAPH, type PhotographSource, writePhotographs } from "./photographs.ts";

const TARGET = { height: 224, width: 224, channels: 3 } as const;
const BATCH = 32;
/** Images of one measurement, and how many of them are in the data set. */
const IMAGES = 512;
const STREAMED = 64;
const DEPTH = 4;
const PROCESSORS = navigator.hardwareConcurrency;
const VIEWS: Readonly<Record<string, View>> = {
  "random crop": { method: "random_resized_crop", crop: RANDOM_RESIZED_CROP, seed: 1, epoch: 0 },
  "centre crop": CENTER_CROP,
};

export interface DataBenchOptions extends Omit<DataWaitOptions, "photographs"> {
  readonly matches: (name: string) => boolean;
}

const measured = { benchmark: "data", unit: "images/s", adapter: `${PROCESSORS} processors` };
const size = `${PHOTOGRAPH.width}x${PHOTOGRAPH.height} to ${TARGET.width}`;

/** Photographs are made anew in a temporary folder. */
export async function* benchData(options: DataBenchOptions): AsyncGenerator<Measurement> {
  const dataDir = await Deno.makeTempDir({ prefix: "multistep-bench-" });
  try {
    const files = await makePhotographs();
    // Six batches of training, as of other benchmarks.
    const sources = await writePhotographs(dataDir, files, Math.max(STREAMED, 6 * options.batchSize));
    const registry = new DatasetRegistry(dataDir);
    await registry.import("photographs", sources[0].path, { streamed: true });
    for (const source of sources) yield* benchImport(registry, source, options);
    yield* benchStream(dataDir, files, options);
    yield* measureDataWait({ ...options, photographs: { dataDir, name: "photographs", split: "train" } });
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
}

/** Reading, decoding once and writing. */
async function* benchImport(
  registry: DatasetRegistry,
  { reader, path }: PhotographSource,
  { runs, matches, signal }: DataBenchOptions,
): AsyncGenerator<Measurement> {
  const name = `import ${size}, ${reader}`;
  if (!matches(name)) return;
  const samples: number[] = [];
  for (let run = 0; run < runs; run++) {
    signal.throwIfAborted();
    const started = performance.now();
    const { images } = await registry.import(`${reader.toLowerCase()}-${run}`, path, { streamed: true });
    samples.push((images.train + images.test) / (performance.now() - started) * 1000);
  }
  yield summarise(samples, { ...measured, case: name });
}

/** The library and the stream take turns, so that both meet the same machine. */
async function* benchStream(
  dataDir: string,
  files: readonly Uint8Array[],
  { runs, matches, signal }: DataBenchOptions,
): AsyncGenerator<Measurement> {
  const alone = `decoder alone ${size}, random crop, ${2 * PROCESSORS} in flight`;
  const cases = [...new Set([1, 2, PROCESSORS, 2 * PROCESSORS])].map((inFlight) => ({ view: "random crop", inFlight }));
  const streams = [...cases, { view: "centre crop", inFlight: 2 * PROCESSORS }]
    .map((stream) => ({ ...stream, name: `stream ${size}, ${stream.view}, ${stream.inFlight} in flight` }))
    .filter(({ name }) => matches(name));
  if (streams.length === 0 && !matches(alone)) return;
  const samples = new Map<string, number[]>([alone, ...streams.map(({ name }) => name)].map((name) => [name, []]));
  await using preparer = new BatchPreparer({ dataDir, name: "photographs", split: "train" });
  for (let run = -1; run < runs; run++) {
    signal.throwIfAborted();
    const take = (name: string, imagesPerSecond: number) => run >= 0 && samples.get(name)?.push(imagesPerSecond);
    take(alone, await decodeAlone(files));
    for (const { name, view, inFlight } of streams) {
      take(name, await streamOnce(preparer, { view: VIEWS[view], inFlight, signal }));
    }
  }
  const base = samples.get(alone) ?? [];
  yield summarise(base, { ...measured, case: alone });
  for (const { name, inFlight } of streams) {
    const own = samples.get(name) ?? [];
    const share = median(own.map((value, run) => value / base[run]));
    const details = { share_of_decoder: share, in_flight: inFlight, batch_size: BATCH };
    yield summarise(own, { ...measured, case: name, details });
  }
}

/** The same crops of the same files by the library itself, files and results in memory. */
async function decodeAlone(files: readonly Uint8Array[]): Promise<number> {
  let next = 0;
  const work = async () => {
    for (let i = next++; i < IMAGES; i = next++) {
      const { top, left, height, width } = randomRegion(PHOTOGRAPH, RANDOM_RESIZED_CROP, {
        seed: 1,
        epoch: 0,
        example: i % STREAMED,
      });
      await sharp(files[i % files.length]).extract({ top, left, height, width })
        .resize({ height: TARGET.height, width: TARGET.width, fit: "fill", kernel: "linear" }).raw().toBuffer();
    }
  };
  const started = performance.now();
  await Promise.all(Array.from({ length: 2 * PROCESSORS }, work));
  return IMAGES / (performance.now() - started) * 1000;
}

async function streamOnce(
  preparer: BatchPreparer,
  { view, inFlight, signal }: { readonly view: View; readonly inFlight: number; readonly signal: AbortSignal },
): Promise<number> {
  const order = Uint32Array.from({ length: IMAGES }, (_, i) => i % STREAMED);
  const started = performance.now();
  const stream = preparer.start({ order, batchSize: BATCH, size: TARGET, view, inFlight, depth: DEPTH });
  while (await stream.next(signal));
  return IMAGES / (performance.now() - started) * 1000;
}
