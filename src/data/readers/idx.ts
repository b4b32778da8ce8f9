/** MNIST's own file format, idx (LeCun et al. 1998), plain or in gzip; Fashion-MNIST and its kin have it too. */
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import type { ImageSource, Split } from "../dataset.ts";
import { DatasetError } from "../errors.ts";
import { fileType } from "../images/file_type.ts";
import { arraySource, type LabelledArrays, MAX_ARRAY_BYTES } from "./array_source.ts";
import type { SourceEntry, SourceTree } from "./source_tree.ts";

const PREFIXES: Readonly<Record<Split, string>> = { train: "train", test: "t10k" };
/** As the official sites name them; mirrors write a dot for the second hyphen. */
const NAMES = {
  images: /^(train|t10k)-images[-.]idx3-ubyte(\.gz)?$/,
  labels: /^(train|t10k)-labels[-.]idx1-ubyte(\.gz)?$/,
} as const;
/** Xiao et al. 2017. */
const FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot"];
/** Of the element type in the magic number: unsigned bytes. */
const UNSIGNED_BYTE = 8;

const decompress = promisify<Uint8Array, { maxOutputLength: number }, Uint8Array>(gunzip);

/** Whether a folder's files are in this layout. */
export function hasIdxFiles(entries: readonly SourceEntry[]): boolean {
  return entries.some(({ kind, name }) => kind === "file" && NAMES.images.test(name));
}

/** @throws {DatasetError} where a file is missing, damaged or of another length than it says */
export async function openIdx(tree: SourceTree): Promise<ImageSource> {
  const entries = await tree.list();
  const open = (split: Split) => readSplit(tree, entries, PREFIXES[split]);
  const splits = { train: await open("train"), test: await open("test") };
  // The files themselves do not tell the two apart.
  const isFashion = tree.root.name.toLowerCase().includes("fashion");
  const title = isFashion ? "Fashion-MNIST" : "Images in MNIST's format";
  return { ...arraySource(splits, { title, ...(isFashion && { classNames: FASHION }) }), horizontalFlip: false };
}

async function readSplit(tree: SourceTree, entries: readonly SourceEntry[], prefix: string): Promise<LabelledArrays> {
  const find = (part: keyof typeof NAMES) => {
    const found = entries.find(({ kind, name }) =>
      kind === "file" && NAMES[part].test(name) && name.startsWith(`${prefix}-`)
    );
    if (found) return found;
    throw new DatasetError(
      "invalid",
      `Cannot find ${prefix}-${part}-idx${
        part === "images" ? 3 : 1
      }-ubyte(.gz): a data set in MNIST's format has four ` +
        "files, of images and labels that begin with train- and t10k-",
    );
  };
  const images = find("images");
  const labels = find("labels");
  const { shape: [, height, width], values: pixels } = await readIdx(tree, images, 3);
  const { values } = await readIdx(tree, labels, 1);
  const title = `${images.name} and ${labels.name}`;
  return { title, size: { height, width, channels: 1 }, pixels, labels: Uint32Array.from(values) };
}

async function readIdx(
  tree: SourceTree,
  file: SourceEntry,
  dimensions: number,
): Promise<{ readonly shape: readonly number[]; readonly values: Uint8Array }> {
  const refuse = (problem: string, cause?: unknown) =>
    new DatasetError("invalid", `Cannot use ${file.path}: ${problem}`, { cause });
  let bytes = await tree.read(file, MAX_ARRAY_BYTES);
  if (typeof bytes === "string") throw refuse(bytes);
  if (fileType(bytes) === "gzip") {
    try {
      bytes = await decompress(bytes, { maxOutputLength: MAX_ARRAY_BYTES });
    } catch (error) {
      throw refuse("it cannot be decompressed to its end, or has more than 2 GiB", error);
    }
  }
  const header = 4 + 4 * dimensions;
  if (bytes.length < header || bytes[0] !== 0 || bytes[1] !== 0 || bytes[3] !== dimensions) {
    throw refuse(`it does not begin as an idx file of ${dimensions} dimension${dimensions === 1 ? "" : "s"} does`);
  }
  if (bytes[2] !== UNSIGNED_BYTE) throw refuse(`its elements are of type ${bytes[2]}: must be ${UNSIGNED_BYTE}, bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const shape = Array.from({ length: dimensions }, (_, i) => view.getUint32(4 + 4 * i));
  const expected = header + shape.reduce((product, side) => product * side, 1);
  if (bytes.length !== expected) {
    throw refuse(`it has ${bytes.length} bytes where ${shape.join("x")} values with a header have ${expected}`);
  }
  if (shape.includes(0)) throw refuse(`it holds ${shape.join("x")} values: must be at least one each way`);
  return { shape, values: bytes.subarray(header) };
}
