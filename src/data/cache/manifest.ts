/**
 * The JSON file beside a packed data set's pixels. It is written last, so a folder without a whole one was never
 * finished; it tells the length and SHA-256 of every other file.
 */
import type { DatasetDescription, Split } from "../dataset.ts";
import { imageBytes, SPLITS } from "../dataset.ts";

export const MANIFEST_FILE = "description.json";
const FORMAT = 1;

export interface FileRecord {
  readonly bytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

export interface SplitFiles {
  readonly pixels: FileRecord;
  readonly labels: FileRecord;
}

export interface Manifest {
  /** What it was made from and by which recipe; a built-in data set whose origin has changed is packed again. */
  readonly origin: string;
  readonly description: DatasetDescription;
  readonly files: Readonly<Record<Split, SplitFiles>>;
}

export function formatManifest(manifest: Manifest): string {
  return `${JSON.stringify({ format: FORMAT, ...manifest }, null, 2)}\n`;
}

/**
 * Reads a manifest and checks that its parts agree with each other.
 *
 * @throws {Error} saying what is wrong, to be wrapped by the caller who knows whose manifest it is
 */
export function parseManifest(text: string): Manifest {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new Error(`${MANIFEST_FILE} is not whole`);
  }
  const root = record(parsed, "the whole");
  if (root.format !== FORMAT) {
    throw new Error(`${MANIFEST_FILE} has format ${JSON.stringify(root.format)}, this version reads format ${FORMAT}`);
  }
  const manifest = {
    origin: string(root.origin, "origin"),
    description: parseDescription(record(root.description, "description")),
    files: bySplit(root.files, "files", parseFiles),
  };
  checkConsistent(manifest);
  return manifest;
}

function parseDescription(value: Record<string, unknown>): DatasetDescription {
  const channels = whole(value.channels, "channels");
  if (channels !== 1 && channels !== 3) throw malformed("channels");
  return {
    name: string(value.name, "name"),
    description: string(value.description, "description"),
    height: whole(value.height, "height"),
    width: whole(value.width, "width"),
    channels,
    classNames: list(value.classNames, "classNames", string),
    images: bySplit(value.images, "images", whole),
    mean: list(value.mean, "mean", finite),
    standardDeviation: list(value.standardDeviation, "standardDeviation", finite),
    cropPadding: whole(value.cropPadding, "cropPadding"),
    horizontalFlip: flag(value.horizontalFlip, "horizontalFlip"),
  };
}

function checkConsistent({ description, files }: Manifest): void {
  if (description.mean.length !== description.channels) throw malformed("mean");
  if (description.standardDeviation.length !== description.channels) throw malformed("standardDeviation");
  if (imageBytes(description) === 0) throw malformed("height");
  for (const split of SPLITS) {
    const images = description.images[split];
    if (files[split].pixels.bytes !== images * imageBytes(description)) throw malformed(`files.${split}.pixels`);
    if (files[split].labels.bytes !== images * Uint32Array.BYTES_PER_ELEMENT) throw malformed(`files.${split}.labels`);
  }
}

function malformed(field: string): Error {
  return new Error(`${MANIFEST_FILE} has no valid "${field}"`);
}

function record(value: unknown, field: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw malformed(field);
  return { ...value };
}

function string(value: unknown, field: string): string {
  if (typeof value !== "string") throw malformed(field);
  return value;
}

function whole(value: unknown, field: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw malformed(field);
  return value;
}

function finite(value: unknown, field: string): number {
  if (typeof value !== "number" || !Number.isFinite(value)) throw malformed(field);
  return value;
}

function flag(value: unknown, field: string): boolean {
  if (typeof value !== "boolean") throw malformed(field);
  return value;
}

function list<T>(value: unknown, field: string, parse: (item: unknown, field: string) => T): T[] {
  if (!Array.isArray(value)) throw malformed(field);
  return value.map((item) => parse(item, field));
}

function bySplit<T>(value: unknown, field: string, parse: (item: unknown, field: string) => T): Record<Split, T> {
  const { train, test } = record(value, field);
  return { train: parse(train, `${field}.train`), test: parse(test, `${field}.test`) };
}

function parseFiles(value: unknown, field: string): SplitFiles {
  const { pixels, labels } = record(value, field);
  return { pixels: parseFile(pixels, `${field}.pixels`), labels: parseFile(labels, `${field}.labels`) };
}

function parseFile(value: unknown, field: string): FileRecord {
  const { bytes, sha256 } = record(value, field);
  return { bytes: whole(bytes, `${field}.bytes`), sha256: string(sha256, `${field}.sha256`) };
}
