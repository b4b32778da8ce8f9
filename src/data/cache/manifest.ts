/**
 * The JSON file beside a data set's images. It is written last, so a folder without a whole one was never finished; it
 * tells the length and SHA-256 of every other file. Format 1 is that of packed data sets, 2 that of streamed ones.
 */
import type { DatasetDescription, DatasetKind, Split } from "../dataset.ts";
import { imageBytes, SPLITS } from "../dataset.ts";
import { RECORD_BYTES } from "./record_index.ts";

export const MANIFEST_FILE = "description.json";
const FORMATS: Readonly<Record<DatasetKind, number>> = { packed: 1, streamed: 2 };

export interface FileRecord {
  readonly bytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

export interface PackedFiles {
  readonly pixels: FileRecord;
  readonly labels: FileRecord;
}

export interface StreamedFiles {
  readonly records: FileRecord;
  readonly index: FileRecord;
}

interface ManifestOf<K extends DatasetKind, F> {
  readonly kind: K;
  /** What it was made from and by which recipe; a built-in data set whose origin has changed is packed again. */
  readonly origin: string;
  readonly description: DatasetDescription;
  readonly files: Readonly<Record<Split, F>>;
}

export type PackedManifest = ManifestOf<"packed", PackedFiles>;
export type StreamedManifest = ManifestOf<"streamed", StreamedFiles>;
export type Manifest = PackedManifest | StreamedManifest;

/** Of a data set's images, labels and indices on the disk. */
export function storedBytes({ files }: Pick<Manifest, "files">): number {
  const records = [files.train, files.test].flatMap((parts): FileRecord[] =>
    "pixels" in parts ? [parts.pixels, parts.labels] : [parts.records, parts.index]
  );
  return records.reduce((sum, { bytes }) => sum + bytes, 0);
}

export function formatManifest({ kind, origin, description, files }: Manifest): string {
  const { kind: _told, ...about } = description;
  return `${JSON.stringify({ format: FORMATS[kind], origin, description: about, files }, null, 2)}\n`;
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
  const origin = () => string(root.origin, "origin");
  const description = (kind: DatasetKind) => parseDescription(kind, record(root.description, "description"));
  if (root.format === FORMATS.packed) {
    const files = bySplit(root.files, "files", parsePackedFiles);
    return checkPacked({ kind: "packed", origin: origin(), description: description("packed"), files });
  }
  if (root.format === FORMATS.streamed) {
    const files = bySplit(root.files, "files", parseStreamedFiles);
    return checkStreamed({ kind: "streamed", origin: origin(), description: description("streamed"), files });
  }
  throw new Error(
    `${MANIFEST_FILE} has format ${JSON.stringify(root.format)}, this version reads formats ` +
      `${FORMATS.packed} and ${FORMATS.streamed}`,
  );
}

function parseDescription(kind: DatasetKind, value: Record<string, unknown>): DatasetDescription {
  const channels = whole(value.channels, "channels");
  if (channels !== 1 && channels !== 3) throw malformed("channels");
  const description = {
    name: string(value.name, "name"),
    kind,
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
  } as const;
  if (description.mean.length !== channels) throw malformed("mean");
  if (description.standardDeviation.length !== channels) throw malformed("standardDeviation");
  if (imageBytes(description) === 0) throw malformed("height");
  return description;
}

function checkPacked(manifest: PackedManifest): PackedManifest {
  const { description, files } = manifest;
  for (const split of SPLITS) {
    const images = description.images[split];
    if (files[split].pixels.bytes !== images * imageBytes(description)) throw malformed(`files.${split}.pixels`);
    if (files[split].labels.bytes !== images * Uint32Array.BYTES_PER_ELEMENT) throw malformed(`files.${split}.labels`);
  }
  return manifest;
}

function checkStreamed(manifest: StreamedManifest): StreamedManifest {
  const { description, files } = manifest;
  for (const split of SPLITS) {
    if (files[split].index.bytes !== description.images[split] * RECORD_BYTES) throw malformed(`files.${split}.index`);
  }
  return manifest;
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

function parsePackedFiles(value: unknown, field: string): PackedFiles {
  const { pixels, labels } = record(value, field);
  return { pixels: parseFile(pixels, `${field}.pixels`), labels: parseFile(labels, `${field}.labels`) };
}

function parseStreamedFiles(value: unknown, field: string): StreamedFiles {
  const { records, index } = record(value, field);
  return { records: parseFile(records, `${field}.records`), index: parseFile(index, `${field}.index`) };
}

function parseFile(value: unknown, field: string): FileRecord {
  const { bytes, sha256 } = record(value, field);
  return { bytes: whole(bytes, `${field}.bytes`), sha256: string(sha256, `${field}.sha256`) };
}
