/**
 * Memory of a streamed data set of 100,000 images: imported, then an epoch of it read batch by batch. Prints JSON lines
 * of resident memory, and fails where it grows with the images.
 *
 *   ./multistep deno run --allow-all bench/soak_stream.ts [IMAGES]
 */
import { join } from "node:path";
import sharp from "sharp";
import { CENTER_CROP, DatasetRegistry, RANDOM_RESIZED_CROP } from "../src/data/mod.ts";
import { ALL_BATCHES } from "../src/engine/batch_feed.ts";
import { StreamedFeed } from "../src/engine/streamed_feed.ts";
import { tarMember } from "../tests/data/fixtures.ts";

const IMAGES = Number(Deno.args[0] ?? 100_000);
const DISTINCT = 16;
const BATCH = 64;
const SIZE = { height: 64, width: 64, channels: 3 } as const;
/** What the epoch may add to the memory of its first tenth: the collector's slack, not the images. */
const ALLOWED_GROWTH = 48 * 2 ** 20;

/** The most resident memory since it was last asked, looked at ten times a second. */
class PeakMemory {
  #bytes = 0;
  readonly #timer = setInterval(() => this.#look(), 100);

  take(): number {
    this.#look();
    const bytes = this.#bytes;
    this.#bytes = 0;
    return bytes;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    this.#bytes = Math.max(this.#bytes, Deno.memoryUsage().rss);
  }
}

async function writeShard(path: string, count: number): Promise<void> {
  const files = await Promise.all(Array.from({ length: DISTINCT }, async (_, i) => {
    const background = { r: 16 * i, g: 255 - 16 * i, b: 100 };
    const noise = { type: "gaussian", mean: 128, sigma: 30 } as const;
    const image = sharp({ create: { width: 96, height: 72, channels: 3, background, noise } });
    return new Uint8Array(await image.jpeg({ quality: 60 }).toBuffer());
  }));
  const shard = await Deno.open(path, { write: true, create: true });
  const writer = shard.writable.getWriter();
  for (let i = 0; i < count; i++) {
    const name = String(i).padStart(7, "0");
    await writer.write(tarMember(`${name}.jpg`, files[i % DISTINCT]));
    await writer.write(tarMember(`${name}.cls`, String(i % 2)));
  }
  await writer.write(new Uint8Array(1024));
  await writer.close();
}

function secondsSince(started: number): number {
  return (performance.now() - started) / 1000;
}

function tell(name: string, figures: Readonly<Record<string, number>>): void {
  const line = JSON.stringify({ benchmark: "soak", case: `streamed data set: ${name}`, ...figures });
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

async function soakImport(dataDir: string, peak: PeakMemory): Promise<void> {
  const source = join(dataDir, "shards");
  await Deno.mkdir(source);
  await writeShard(join(source, "train-0.tar"), IMAGES);
  await writeShard(join(source, "test-0.tar"), 2);
  peak.take();
  const started = performance.now();
  const registry = new DatasetRegistry(dataDir);
  const { images } = await registry.import("many", source, { ...SIZE, streamed: true });
  tell("import", { images: images.train, seconds: secondsSince(started), peak_bytes: peak.take() });
}

async function soakEpoch(dataDir: string, peak: PeakMemory): Promise<void> {
  const feed = StreamedFeed.shuffled({ dataDir, name: "many", split: "train" }, {
    size: SIZE,
    count: IMAGES,
    batchSize: BATCH,
    seed: 1,
    epochs: 1,
    crop: RANDOM_RESIZED_CROP,
    preprocessing: CENTER_CROP,
  });
  const started = performance.now();
  const seen = new Uint8Array(IMAGES);
  let [done, early] = [0, 0];
  for await (const { examples } of feed.batches(0, ALL_BATCHES, new AbortController().signal)) {
    for (const example of examples) seen[example]++;
    if (++done === Math.ceil(IMAGES / BATCH / 10)) early = peak.take();
  }
  const late = peak.take();
  const images_per_second = IMAGES / secondsSince(started);
  tell("epoch", { images: IMAGES, images_per_second, first_tenth_bytes: early, rest_bytes: late });
  feed.destroy();
  if (!seen.every((count) => count === 1)) throw new Error("The epoch is no permutation of the images");
  if (late - early > ALLOWED_GROWTH) {
    throw new Error(`Memory grew by ${late - early} bytes after the first tenth of the epoch`);
  }
}

const folder = await Deno.makeTempDir({ prefix: "multistep-soak-" });
const memory = new PeakMemory();
try {
  await soakImport(folder, memory);
  await soakEpoch(folder, memory);
} finally {
  memory.stop();
  await Deno.remove(folder, { recursive: true });
}
