/**
 * Parquet files as the Hugging Face hub has data sets of images: a column of image files, as bytes or as a record with
 * a field `bytes`, and a column of class indices. The classes' names come from the hub's own metadata, where present.
 */
import type { AsyncBuffer, FileMetaData } from "hyparquet";
import type { ImageSize, ImageSource, Split } from "../dataset.ts";
import { SPLITS } from "../dataset.ts";
import { DatasetError } from "../errors.ts";
import { MAX_IMAGE_FILE_BYTES } from "../images/limits.ts";
import { imageSetSource } from "./image_set.ts";
import { SkippedFiles } from "./skipped_files.ts";
import { ofSource, type SourceEntry } from "./source_tree.ts";

/** The hub's usual names, the preferred one first. */
const IMAGE_COLUMNS: readonly string[] = ["image", "img", "images"];
const LABEL_COLUMNS: readonly string[] = ["label", "labels", "fine_label"];
/** Of the images' column in one group of rows, decompressed: it is held in memory. */
const MAX_GROUP_BYTES = 2n ** 30n;
const MAX_CLASSES = 100_000;

/** Loaded when first needed: who imports no such file does without. */
async function loadLibrary() {
  const [library, { compressors }] = await Promise.all([import("hyparquet"), import("hyparquet-compressors")]);
  return { ...library, compressors };
}

interface Table {
  readonly path: string;
  readonly metadata: FileMetaData;
  readonly image: string;
  /** -1: none that can be used. */
  readonly labels: Int32Array;
  readonly classNames?: readonly string[];
  readRows(columns: readonly string[], range: { start: number; end: number }): Promise<Record<string, unknown>[]>;
}

/**
 * Reads the labels; images come later, a group of rows at a time, in the files' order.
 *
 * @throws {DatasetError} where a file is damaged, or has no column of images or labels
 */
export async function openParquet(
  files: Readonly<Record<Split, readonly SourceEntry[]>>,
  { size, signal }: { readonly size: ImageSize; readonly signal: AbortSignal },
): Promise<ImageSource> {
  const skipped = new SkippedFiles();
  const open = async (split: Split) => {
    const tables: Table[] = [];
    for (const file of files[split]) {
      signal.throwIfAborted();
      tables.push(await openTable(file, skipped));
    }
    return tables;
  };
  const tables: Record<Split, readonly Table[]> = { train: await open("train"), test: await open("test") };
  const highest = SPLITS.flatMap((split) => tables[split]).reduce(
    (top, { labels }) => labels.reduce((a, b) => Math.max(a, b), top),
    -1,
  );
  const named = tables.train[0].classNames;
  const classNames = named && named.length > highest ? named : Array.from({ length: highest + 1 }, (_, i) => String(i));
  const count = (split: Split) => {
    const counts = classNames.map(() => 0);
    for (const { labels } of tables[split]) for (const label of labels) if (label >= 0) counts[label]++;
    return counts;
  };
  return imageSetSource({
    title: "Parquet files",
    size,
    classNames,
    counts: { train: count("train"), test: count("test") },
    skipped,
    async *batches(split) {
      for (const table of tables[split]) yield* readGroups(table);
    },
  });
}

async function openTable(file: SourceEntry, skipped: SkippedFiles): Promise<Table> {
  const { parquetMetadataAsync, parquetReadObjects, compressors } = await loadLibrary();
  const refuse = (problem: string) => new DatasetError("invalid", `Cannot use ${file.path}: ${problem}`);
  const buffer = await fileBuffer(file);
  const metadata = await ofParquet(file.path, () => parquetMetadataAsync(buffer));
  const columns = topColumns(metadata);
  const find = (names: readonly string[], what: string) => {
    const found = names.find((name) => columns.includes(name));
    if (found !== undefined) return found;
    throw refuse(`it has no column of ${what}, ${names.join(", ")}: there are ${columns.join(", ")}`);
  };
  const image = find(IMAGE_COLUMNS, "images");
  const label = find(LABEL_COLUMNS, "labels");
  const readRows: Table["readRows"] = (wanted, { start, end }) =>
    ofParquet(file.path, () =>
      parquetReadObjects({
        file: buffer,
        metadata,
        compressors,
        columns: [...wanted],
        rowStart: start,
        rowEnd: end,
        // Bytes of images are no text.
        utf8: false,
      }));
  const rows = await readRows([label], { start: 0, end: Number(metadata.num_rows) });
  const labels = Int32Array.from(rows, (row, i) => {
    const value = labelOf(row[label]);
    if (Number.isInteger(value) && value >= 0 && value < MAX_CLASSES) return value;
    skipped.add(
      `${file.path}: row ${i}`,
      `its label is ${String(row[label])}: must be a whole number below ${MAX_CLASSES}`,
    );
    return -1;
  });
  return { path: file.path, metadata, image, labels, classNames: hubClassNames(metadata, label), readRows };
}

async function* readGroups({ path, metadata, image, labels, readRows }: Table) {
  let start = 0;
  for (const group of metadata.row_groups) {
    const bytes = group.columns.filter(({ meta_data }) => meta_data?.path_in_schema[0] === image)
      .reduce((sum, { meta_data }) => sum + (meta_data?.total_uncompressed_size ?? 0n), 0n);
    if (bytes > MAX_GROUP_BYTES) {
      throw new DatasetError(
        "invalid",
        `Cannot use ${path}: a group of rows has ${bytes} bytes of images, at most ${MAX_GROUP_BYTES} are accepted`,
      );
    }
    const first = start;
    const end = start + Number(group.num_rows);
    const rows = await readRows([image], { start, end });
    yield rows.map((row, i) => ({ label: labels[first + i], file: imageOf(row[image], `${path}: row ${first + i}`) }))
      .filter(({ label }) => label >= 0);
    start = end;
  }
}

/** NaN for what is no number, the empty text and the empty list among it, which JavaScript takes for 0. */
function labelOf(value: unknown): number {
  const isNumber = typeof value === "number" || typeof value === "bigint" || typeof value === "boolean";
  return isNumber || (typeof value === "string" && /^\d+$/.test(value)) ? Number(value) : NaN;
}

function imageOf(value: unknown, path: string) {
  const isRecord = typeof value === "object" && value !== null && "bytes" in value;
  const bytes = isRecord ? value.bytes : value;
  const read = () => {
    if (!(bytes instanceof Uint8Array)) return Promise.resolve("holds no bytes of an image");
    if (bytes.length > MAX_IMAGE_FILE_BYTES) return Promise.resolve(`larger than ${MAX_IMAGE_FILE_BYTES} bytes`);
    return Promise.resolve(bytes);
  };
  return { path, read };
}

/** The schema is a tree in depth-first order; its root comes first. */
function topColumns({ schema }: FileMetaData): string[] {
  const names: string[] = [];
  let at = 1;
  const skip = (): void => {
    const children = schema[at++]?.num_children ?? 0;
    for (let i = 0; i < children; i++) skip();
  };
  while (at < schema.length) {
    names.push(schema[at].name);
    skip();
  }
  return names;
}

/** `datasets` writes its features into the files: {"info": {"features": {"label": {"names": [...]}}}}. */
function hubClassNames({ key_value_metadata }: FileMetaData, label: string): readonly string[] | undefined {
  const text = key_value_metadata?.find(({ key }) => key === "huggingface")?.value;
  if (text === undefined) return undefined;
  try {
    const names: unknown = JSON.parse(text)?.info?.features?.[label]?.names;
    return Array.isArray(names) && names.every((name) => typeof name === "string") ? names : undefined;
  } catch {
    return undefined;
  }
}

async function fileBuffer(file: SourceEntry): Promise<AsyncBuffer> {
  const { size } = await ofSource(file.path, () => Deno.stat(file.realPath));
  return {
    byteLength: size,
    slice: (start, end = size) =>
      ofSource(file.path, async () => {
        using input = await Deno.open(file.realPath);
        await input.seek(start, Deno.SeekMode.Start);
        const bytes = new Uint8Array(Math.max(0, Math.min(end, size) - start));
        for (let filled = 0; filled < bytes.length;) {
          const read = await input.read(bytes.subarray(filled));
          if (read === null) throw new DatasetError("invalid", `Cannot use ${file.path}: it changed while it was read`);
          filled += read;
        }
        return bytes.buffer;
      }),
  };
}

async function ofParquet<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof DatasetError || !(error instanceof Error)) throw error;
    throw new DatasetError("invalid", `Cannot use ${path}: it is no Parquet file or damaged (${error.message})`, {
      cause: error,
    });
  }
}
