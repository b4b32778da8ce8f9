/** A folder of images a class: `<split>/<class>/<image>`, as ImageNet and torchvision's ImageFolder have it. */
import { balancedOrder } from "../class_order.ts";
import type { ImageSize, ImageSource, LabelledImages, Split } from "../dataset.ts";
import { CHUNK_BYTES, formatCount, formatSize, imageBytes, SPLITS } from "../dataset.ts";
import { DatasetError, ImageError } from "../errors.ts";
import { decodeImage } from "../images/decode.ts";
import { MAX_IMAGE_FILE_BYTES } from "../images/limits.ts";
import { mapInOrder } from "./ordered_pool.ts";
import type { SourceEntry, SourceTree } from "./source_tree.ts";
import { ofSource } from "./source_tree.ts";

const IMAGE_NAME = /\.(jpe?g|png)$/i;
/** The usual names of the folders, the preferred one first. */
const SPLIT_FOLDERS: Readonly<Record<Split, readonly string[]>> = { train: ["train"], test: ["test", "val"] };
/** Files named in a message about those left out. */
const EXAMPLES = 5;
/** Files read ahead, while the image library works on as many as there are processors. */
const READ_AHEAD = 2 * navigator.hardwareConcurrency;

/**
 * Lists the folder: classes and images in code-point order of their names. The packed order spreads the classes
 * evenly, so that the first N images hold all of them.
 *
 * Files that are no images, or cannot be decoded, are left out and named in the description; a class must keep at
 * least one image in either split.
 *
 * @throws {DatasetError} where a split is missing or the splits' classes differ
 */
export async function openImageFolder(tree: SourceTree, size: ImageSize): Promise<ImageSource> {
  const skipped = new SkippedFiles();
  const classes: Record<Split, ClassFolder[]> = {
    train: await listClasses(tree, "train", skipped),
    test: await listClasses(tree, "test", skipped),
  };
  const classNames = classes.train.map(({ name }) => name);
  checkSameClasses(classes);
  const countOf = (split: Split) => classes[split].reduce((sum, { files }) => sum + files.length, 0);
  const images = { train: countOf("train"), test: countOf("test") };
  // Before hours of decoding; and again afterwards, for what could not be decoded.
  for (const split of SPLITS) {
    checkNoClassEmpty(classes[split].map(({ name, files }) => ({ name, count: files.length })), { split, skipped });
  }

  return {
    size,
    classNames,
    images,
    // An eighth of the side, as 4 of CIFAR's 32.
    cropPadding: Math.round(Math.min(size.height, size.width) / 8),
    // Photographs may be mirrored; grey images are more often digits, letters or scans.
    horizontalFlip: size.channels === 3,
    read: (split, signal) => readImages(split, classes[split], { size, signal, skipped }),
    describe: (counts) =>
      `Image folder of ${formatCount(classNames.length)} classes, scaled to ${formatSize(size)}: ` +
      `${formatCount(counts.train)} to train, ${formatCount(counts.test)} to test${skipped.sentence("; ")}`,
  };
}

/** Whether a folder of this name is a split of an image folder. */
export function isTrainFolder(entry: SourceEntry): boolean {
  return entry.kind === "folder" && SPLIT_FOLDERS.train.includes(entry.name);
}

interface ClassFolder {
  readonly name: string;
  readonly folder: SourceEntry;
  readonly files: readonly SourceEntry[];
}

/** Files that do not become images; the first few are remembered. */
class SkippedFiles {
  #count = 0;
  readonly #examples: string[] = [];

  add(path: string, reason: string): void {
    this.#count++;
    if (this.#examples.length < EXAMPLES) this.#examples.push(`${path} (${reason})`);
  }

  /** Empty where nothing was left out. */
  sentence(prefix: string): string {
    if (this.#count === 0) return "";
    const more = this.#count > EXAMPLES ? `, and ${formatCount(this.#count - EXAMPLES)} more` : "";
    const files = this.#count === 1 ? "1 file was" : `${formatCount(this.#count)} files were`;
    return `${prefix}${files} left out: ${this.#examples.join(", ")}${more}`;
  }
}

async function listClasses(tree: SourceTree, split: Split, skipped: SkippedFiles): Promise<ClassFolder[]> {
  const classes: ClassFolder[] = [];
  for (const folder of await classFolders(tree, split)) {
    const files: SourceEntry[] = [];
    for (const entry of await tree.list(folder)) {
      if (entry.kind === "folder") skipped.add(entry.path, "a folder within a class");
      else if (!IMAGE_NAME.test(entry.name)) skipped.add(entry.path, "not named .jpg, .jpeg or .png");
      else files.push(entry);
    }
    classes.push({ name: folder.name, folder, files });
  }
  return classes;
}

/** Of the first folder of the split that holds any: ImageNet's `test` holds images without classes, its `val` is used. */
async function classFolders(tree: SourceTree, split: Split): Promise<SourceEntry[]> {
  const top = await tree.list();
  for (const name of SPLIT_FOLDERS[split]) {
    const folder = top.find((entry) => entry.name === name && entry.kind === "folder");
    const classes = folder ? (await tree.list(folder)).filter((entry) => entry.kind === "folder") : [];
    if (classes.length > 0) return classes;
  }
  throw new DatasetError(
    "invalid",
    `Image folder has no folder a class in ${SPLIT_FOLDERS[split].join(" or ")}: ` +
      `must be laid out as train/<class>/<image> and test/<class>/<image>`,
  );
}

function checkSameClasses(classes: Readonly<Record<Split, readonly ClassFolder[]>>): void {
  for (const [split, other] of [["train", "test"], ["test", "train"]] as const) {
    const others = new Set(classes[other].map(({ name }) => name));
    const extra = classes[split].find(({ name }) => !others.has(name));
    if (extra) {
      throw new DatasetError("invalid", `Image folder has the class ${JSON.stringify(extra.name)} in ${split} only`);
    }
  }
  if (classes.train.length < 2) throw new DatasetError("invalid", "Image folder has one class: at least 2 are needed");
}

function checkNoClassEmpty(
  classes: readonly { readonly name: string; readonly count: number }[],
  { split, skipped }: { readonly split: Split; readonly skipped: SkippedFiles },
): void {
  const empty = classes.find(({ count }) => count === 0);
  if (!empty) return;
  throw new DatasetError(
    "invalid",
    `Class ${JSON.stringify(empty.name)} has no image to ${split}${skipped.sentence(": ")}`,
  );
}

interface ReadOptions {
  readonly size: ImageSize;
  readonly signal: AbortSignal;
  readonly skipped: SkippedFiles;
}

async function* readImages(
  split: Split,
  classes: readonly ClassFolder[],
  { size, signal, skipped }: ReadOptions,
): AsyncGenerator<LabelledImages> {
  const bytes = imageBytes(size);
  const chunk = new ImageChunk(Math.max(1, Math.floor(CHUNK_BYTES / bytes)), bytes);
  const kept = classes.map(() => 0);
  for await (const { label, file, result } of mapInOrder(inOrder(classes), decode, { concurrency: READ_AHEAD })) {
    signal.throwIfAborted();
    if (typeof result === "string") {
      skipped.add(file.path, result);
      continue;
    }
    kept[label]++;
    chunk.add(result, label);
    if (chunk.isFull) yield chunk.take();
  }
  if (!chunk.isEmpty) yield chunk.take();
  checkNoClassEmpty(classes.map(({ name }, label) => ({ name, count: kept[label] })), { split, skipped });

  async function decode({ label, file }: { label: number; file: SourceEntry }) {
    signal.throwIfAborted();
    return { label, file, result: await decodeFile(file, size) };
  }
}

function* inOrder(classes: readonly ClassFolder[]): Generator<{ label: number; file: SourceEntry }> {
  const order = balancedOrder(classes.map(({ files }) => files.length));
  for (let i = 0; i < order.classes.length; i++) {
    const label = order.classes[i];
    yield { label, file: classes[label].files[order.indices[i]] };
  }
}

/** @returns the pixels, or why there are none */
async function decodeFile(file: SourceEntry, size: ImageSize): Promise<Uint8Array | string> {
  const bytes = await ofSource(file.path, async () => {
    const { size: length } = await Deno.stat(file.realPath);
    return length > MAX_IMAGE_FILE_BYTES ? undefined : await Deno.readFile(file.realPath);
  });
  if (!bytes) return `larger than ${MAX_IMAGE_FILE_BYTES} bytes`;
  try {
    return await decodeImage(bytes, size);
  } catch (error) {
    if (error instanceof ImageError) return error.message.replace(/^Image /, "");
    throw error;
  }
}

/** Gathers single images. */
class ImageChunk {
  #pixels: Uint8Array;
  #labels: Uint32Array;
  #count = 0;

  constructor(readonly capacity: number, readonly bytes: number) {
    this.#pixels = new Uint8Array(capacity * bytes);
    this.#labels = new Uint32Array(capacity);
  }

  get isFull(): boolean {
    return this.#count === this.capacity;
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  add(pixels: Uint8Array, label: number): void {
    this.#pixels.set(pixels, this.#count * this.bytes);
    this.#labels[this.#count++] = label;
  }

  /** What was gathered, copied; the chunk is empty afterwards. */
  take(): LabelledImages {
    const count = this.#count;
    this.#count = 0;
    return { count, pixels: this.#pixels.slice(0, count * this.bytes), labels: this.#labels.slice(0, count) };
  }
}
