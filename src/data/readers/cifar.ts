/** CIFAR-10 and CIFAR-100 (Krizhevsky 2009) in the official binary layout. */
import type { ImageSize, ImageSource, LabelledImages, Normalisation, Split } from "../dataset.ts";
import { formatCount, imageBytes, SPLITS } from "../dataset.ts";
import { DatasetError } from "../errors.ts";
import type { SourceEntry } from "./source_tree.ts";
import { ofSource, SourceTree } from "./source_tree.ts";

const SIZE: ImageSize = { height: 32, width: 32, channels: 3 };
const PLANE = SIZE.height * SIZE.width;
const RECORDS_A_CHUNK = 256;

/** He et al. 2016 and Lu et al. 2018 normalise both data sets by these. */
const NORMALISATION: Normalisation = {
  mean: [0.4914, 0.4822, 0.4465],
  standardDeviation: [0.2023, 0.1994, 0.201],
};

export interface CifarLayout {
  readonly title: "CIFAR-10" | "CIFAR-100";
  /** The folder in the official archive. */
  readonly folder: string;
  readonly archive: string;
  readonly namesFile: string;
  readonly classes: number;
  readonly files: Readonly<Record<Split, readonly string[]>>;
  /** A record: so many label bytes, of which the last one counts, then the red, green and blue planes. */
  readonly labelBytes: number;
  readonly official: Readonly<Record<Split, number>>;
}

export const CIFAR_LAYOUTS: readonly CifarLayout[] = [
  {
    title: "CIFAR-10",
    folder: "cifar-10-batches-bin",
    archive: "cifar-10-binary.tar.gz",
    namesFile: "batches.meta.txt",
    classes: 10,
    files: { train: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`), test: ["test_batch.bin"] },
    labelBytes: 1,
    official: { train: 50_000, test: 10_000 },
  },
  {
    title: "CIFAR-100",
    folder: "cifar-100-binary",
    archive: "cifar-100-binary.tar.gz",
    namesFile: "fine_label_names.txt",
    classes: 100,
    files: { train: ["train.bin"], test: ["test.bin"] },
    // The coarse label, then the fine one.
    labelBytes: 2,
    official: { train: 50_000, test: 10_000 },
  },
];

/** Every file of the layout that is read. */
export function cifarFiles(layout: CifarLayout): string[] {
  return [layout.namesFile, ...layout.files.train, ...layout.files.test];
}

/**
 * Checks names and lengths of the files in a folder.
 *
 * @throws {DatasetError} where a file is missing or not a whole number of records
 */
export async function openCifar(tree: SourceTree, folder: SourceEntry, layout: CifarLayout): Promise<ImageSource> {
  const entries = new Map((await tree.list(folder)).map((entry) => [entry.name, entry]));
  const classNames = await readClassNames(entries.get(layout.namesFile), layout);
  const files: Record<Split, SourceEntry[]> = { train: [], test: [] };
  const images: Record<Split, number> = { train: 0, test: 0 };
  for (const split of SPLITS) {
    files[split] = layout.files[split].map((name) => entries.get(name)).filter((entry) => entry !== undefined);
    if (files[split].length === 0) throw missing(layout, layout.files[split].join(" or "));
    for (const file of files[split]) images[split] += await countRecords(file, layout);
  }
  return {
    size: SIZE,
    classNames,
    images,
    normalisation: NORMALISATION,
    cropPadding: 4,
    horizontalFlip: true,
    async *read(split, signal) {
      for (const file of files[split]) yield* readRecords(file, layout, signal);
    },
    describe: (counts) => describe(layout, counts),
  };
}

function describe({ title, official, classes }: CifarLayout, counts: Readonly<Record<Split, number>>): string {
  const split = (of: Readonly<Record<Split, number>>) =>
    `${formatCount(of.train)} to train, ${formatCount(of.test)} to test`;
  const text = `${title}: photographs of ${classes} classes, 32x32, colour; ${split(counts)}`;
  const isWhole = SPLITS.every((part) => counts[part] === official[part]);
  return isWhole ? text : `${text} (the whole data set has ${split(official)})`;
}

function missing(layout: CifarLayout, file: string): DatasetError {
  return new DatasetError(
    "invalid",
    `Cannot find ${file}: ${layout.title} is imported from ${layout.archive} or its folder`,
  );
}

function recordBytes(layout: CifarLayout): number {
  return layout.labelBytes + imageBytes(SIZE);
}

async function readClassNames(file: SourceEntry | undefined, layout: CifarLayout): Promise<string[]> {
  if (!file) throw missing(layout, layout.namesFile);
  const text = await ofSource(file.path, () => Deno.readTextFile(file.realPath));
  const names = text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  if (names.length !== layout.classes || new Set(names).size !== names.length) {
    throw new DatasetError("invalid", `Cannot use ${file.path}: must name ${layout.classes} classes, one a line`);
  }
  return names;
}

async function countRecords(file: SourceEntry, layout: CifarLayout): Promise<number> {
  const { size } = await ofSource(file.path, () => Deno.stat(file.realPath));
  const record = recordBytes(layout);
  if (size === 0 || size % record !== 0) {
    throw new DatasetError(
      "invalid",
      `Cannot use ${file.path}: it has ${size} bytes, which is not a whole number of ${layout.title} records of ${record}`,
    );
  }
  return size / record;
}

async function* readRecords(
  file: SourceEntry,
  layout: CifarLayout,
  signal: AbortSignal,
): AsyncGenerator<LabelledImages> {
  using input = await ofSource(file.path, () => Deno.open(file.realPath));
  const buffer = new Uint8Array(RECORDS_A_CHUNK * recordBytes(layout));
  for (let done = 0;;) {
    signal.throwIfAborted();
    const records = await ofSource(file.path, () => fill(input, buffer)) / recordBytes(layout);
    if (records === 0) return;
    if (!Number.isInteger(records)) {
      throw new DatasetError("invalid", `Cannot use ${file.path}: it changed while it was read`);
    }
    yield unpack(buffer, records, { layout, file, done });
    done += records;
  }
}

/** @returns bytes read; fewer than the buffer holds only at the file's end */
async function fill(input: Deno.FsFile, buffer: Uint8Array): Promise<number> {
  let filled = 0;
  while (filled < buffer.length) {
    const read = await input.read(buffer.subarray(filled));
    if (read === null) break;
    filled += read;
  }
  return filled;
}

/** Planes (CHW) to interleaved channels (HWC). `done`: records of the file before these. */
function unpack(
  buffer: Uint8Array,
  records: number,
  from: { layout: CifarLayout; file: SourceEntry; done: number },
): LabelledImages {
  const { labelBytes, classes } = from.layout;
  const pixels = new Uint8Array(records * imageBytes(SIZE));
  const labels = new Uint32Array(records);
  for (let i = 0, out = 0; i < records; i++) {
    const record = i * recordBytes(from.layout);
    const label = buffer[record + labelBytes - 1];
    if (label >= classes) {
      throw new DatasetError(
        "invalid",
        `Cannot use ${from.file.path}: record ${from.done + i} has label ${label}, must be below ${classes}`,
      );
    }
    labels[i] = label;
    const red = record + labelBytes;
    for (let pixel = red; pixel < red + PLANE; pixel++) {
      pixels[out++] = buffer[pixel];
      pixels[out++] = buffer[pixel + PLANE];
      pixels[out++] = buffer[pixel + 2 * PLANE];
    }
  }
  return { count: records, pixels, labels };
}
