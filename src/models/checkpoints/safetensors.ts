/**
 * The safetensors file format (https://huggingface.co/docs/safetensors): the
 * header's length (u64, little endian), the header (JSON, padded with spaces to
 * a multiple of 8), the tensors' bytes without gaps.
 *
 * Numbers are little endian in the file, as they are in memory on every
 * platform Deno runs on.
 */

interface DataOf {
  readonly F64: Float64Array<ArrayBuffer>;
  readonly F32: Float32Array<ArrayBuffer>;
  /** Raw bytes, two an element. */
  readonly F16: Uint8Array<ArrayBuffer>;
  /** Raw bytes, two an element: the upper half of an F32. */
  readonly BF16: Uint8Array<ArrayBuffer>;
  readonly I64: BigInt64Array<ArrayBuffer>;
  readonly I32: Int32Array<ArrayBuffer>;
  readonly U32: Uint32Array<ArrayBuffer>;
  readonly U8: Uint8Array<ArrayBuffer>;
}

/** An element's type, by the format's own name for it. */
export type SafetensorsDType = keyof DataOf;

/** `data` holds the elements in row-major order; shape [] is one scalar. */
export type SafetensorsTensor = {
  [D in SafetensorsDType]: { readonly dtype: D; readonly shape: readonly number[]; readonly data: DataOf[D] };
}[SafetensorsDType];

/** A tensor to write: its elements, or their raw little-endian bytes whatever the type. */
export type WritableTensor = SafetensorsTensor | {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
};

export interface SafetensorsFile {
  /** In the order of their bytes in the file. */
  readonly tensors: Readonly<Record<string, SafetensorsTensor>>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** A checkpoint that cannot be read, or tensors that cannot be written as one; the message says what is wrong where. */
export class CheckpointError extends Error {
  override readonly name: string = "CheckpointError";
}

/** Bytes an element, widest first: in this order every tensor of a file starts at a multiple of its element's size. */
const ELEMENT_BYTES: Readonly<Record<SafetensorsDType, number>> = {
  F64: 8,
  I64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  U8: 1,
};
const DTYPES = Object.keys(ELEMENT_BYTES);
const PREFIX_BYTES = 8;
/** The format's own limit. */
const MAX_HEADER_BYTES = 100_000_000;
const METADATA_KEY = "__metadata__";

/**
 * Writes tensors as one file. Equal content gives equal bytes, whatever order
 * the tensors and the metadata come in.
 * @throws {CheckpointError} A tensor's data does not fill its shape, or the header passes the format's limit.
 */
export function writeSafetensors(
  tensors: Readonly<Record<string, WritableTensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const ordered = Object.entries(tensors).sort(([nameA, a], [nameB, b]) =>
    DTYPES.indexOf(a.dtype) - DTYPES.indexOf(b.dtype) || compareText(nameA, nameB)
  );
  const header: [string, unknown][] = [];
  const metadataEntries = Object.entries(metadata).sort(([a], [b]) => compareText(a, b));
  if (metadataEntries.length > 0) header.push([METADATA_KEY, Object.fromEntries(metadataEntries)]);
  let dataBytes = 0;
  for (const [name, { dtype, shape, data }] of ordered) {
    const expected = byteLength(dtype, shape);
    if (name === METADATA_KEY) {
      throw new CheckpointError(`Cannot write tensor "${name}": the format keeps this name for metadata`);
    }
    if (!isShape(shape) || data.byteLength !== expected) {
      throw new CheckpointError(
        `Cannot write tensor "${name}": ${dtype} of shape [${shape}] takes ${expected} bytes, got ${data.byteLength}`,
      );
    }
    header.push([name, { dtype, shape, data_offsets: [dataBytes, dataBytes + expected] }]);
    dataBytes += expected;
  }

  const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  const headerBytes = Math.ceil(text.length / 8) * 8;
  if (headerBytes > MAX_HEADER_BYTES) {
    throw new CheckpointError(
      `Cannot write a header of ${headerBytes} bytes: the format allows at most ${MAX_HEADER_BYTES}`,
    );
  }
  const file = new Uint8Array(PREFIX_BYTES + headerBytes + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerBytes), true);
  file.fill(" ".charCodeAt(0), PREFIX_BYTES, PREFIX_BYTES + headerBytes);
  file.set(text, PREFIX_BYTES);
  let position = PREFIX_BYTES + headerBytes;
  for (const [, { data }] of ordered) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), position);
    position += data.byteLength;
  }
  return file;
}

/**
 * Reads a file; the tensors' data are copies.
 * @throws {CheckpointError} The bytes are not a whole, valid safetensors file.
 */
export function readSafetensors(bytes: Uint8Array): SafetensorsFile {
  const { header, dataStart } = readHeader(bytes);
  const dataBytes = bytes.length - dataStart;
  const entries = Object.entries(header)
    .filter(([name]) => name !== METADATA_KEY)
    .map(([name, entry]) => parseEntry(name, entry, dataBytes))
    .sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkCoverage(entries, dataBytes);
  const tensors = entries.map(({ name, dtype, shape, begin, end }): [string, SafetensorsTensor] => {
    return [name, tensorOf(dtype, shape, bytes.slice(dataStart + begin, dataStart + end).buffer)];
  });
  return { tensors: Object.fromEntries(tensors), metadata: parseMetadata(header) };
}

type JsonObject = Readonly<Record<string, unknown>>;

interface Entry {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  /** Bytes from the start of the data; `end` is exclusive. */
  readonly begin: number;
  readonly end: number;
}

function readHeader(bytes: Uint8Array): { header: JsonObject; dataStart: number } {
  if (bytes.length < PREFIX_BYTES) {
    throw invalid(`it ends after ${bytes.length} bytes, within the ${PREFIX_BYTES} bytes of the header's length`);
  }
  const headerBytes = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (headerBytes > BigInt(MAX_HEADER_BYTES)) {
    throw invalid(`its header claims ${headerBytes} bytes, the format allows at most ${MAX_HEADER_BYTES}`);
  }
  const dataStart = PREFIX_BYTES + Number(headerBytes);
  if (dataStart > bytes.length) {
    throw invalid(`its header claims ${headerBytes} bytes, only ${bytes.length - PREFIX_BYTES} follow`);
  }
  let text: string;
  let header: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.subarray(PREFIX_BYTES, dataStart));
    header = JSON.parse(text);
  } catch (cause) {
    throw invalid(`its header is not JSON in UTF-8: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
  if (!isObject(header) || !text.startsWith("{")) throw invalid("its header is not a JSON object");
  checkDuplicateNames(text);
  return { header, dataStart };
}

/** JSON.parse keeps the last of two equal names silently; `text` is JSON that it has accepted. */
function checkDuplicateNames(text: string): void {
  // The names so far of each open object; undefined for an open array. (A regular expression would overflow the stack.)
  const open: (Set<string> | undefined)[] = [];
  let nameFollows = false;
  for (let at = 0; at < text.length; at++) {
    switch (text[at]) {
      case "{":
        open.push(new Set());
        nameFollows = true;
        break;
      case "[":
        open.push(undefined);
        break;
      case "}":
      case "]":
        open.pop();
        nameFollows = false;
        break;
      case ",":
        nameFollows = open.at(-1) !== undefined;
        break;
      case '"': {
        const start = at++;
        while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
        if (!nameFollows) break;
        nameFollows = false;
        const name: string = JSON.parse(text.slice(start, at + 1));
        const names = open.at(-1);
        if (names?.has(name)) throw invalid(`its header has the name ${JSON.stringify(name)} twice`);
        names?.add(name);
      }
    }
  }
}

function parseEntry(name: string, entry: unknown, dataBytes: number): Entry {
  if (!isObject(entry)) throw invalidTensor(name, "its header entry is not an object");
  const { dtype, shape, data_offsets: offsets } = entry;
  if (!isDType(dtype)) {
    throw invalidTensor(name, `its dtype is ${JSON.stringify(dtype)}, expected one of ${DTYPES.join(", ")}`);
  }
  if (!isShape(shape)) {
    throw invalidTensor(name, `its shape is ${JSON.stringify(shape)}, expected an array of whole numbers`);
  }
  if (!isShape(offsets) || offsets.length !== 2) {
    throw invalidTensor(name, `its data_offsets are ${JSON.stringify(offsets)}, expected two whole numbers`);
  }
  const [begin, end] = offsets;
  if (begin > end || end > dataBytes) {
    throw invalidTensor(name, `its data_offsets [${offsets}] are out of range: ${dataBytes} bytes of data follow`);
  }
  const expected = byteLength(dtype, shape);
  if (expected !== end - begin) {
    throw invalidTensor(
      name,
      `${dtype} of shape [${shape}] takes ${expected} bytes, its data_offsets span ${end - begin}`,
    );
  }
  return { name, dtype, shape, begin, end };
}

/** Tensors, sorted by offset, must fill the data without gap or overlap. */
function checkCoverage(entries: readonly Entry[], dataBytes: number): void {
  let covered = 0;
  let previous = "";
  for (const { name, begin, end } of entries) {
    if (begin < covered) throw invalidTensor(name, `it starts at byte ${begin}, within tensor "${previous}"`);
    if (begin > covered) throw invalidTensor(name, `bytes ${covered} to ${begin} before it belong to no tensor`);
    covered = end;
    previous = name;
  }
  if (covered < dataBytes) throw invalid(`its last ${dataBytes - covered} bytes belong to no tensor`);
}

function parseMetadata(header: JsonObject): Record<string, string> {
  if (!Object.hasOwn(header, METADATA_KEY)) return {};
  const metadata = header[METADATA_KEY];
  if (!isObject(metadata)) throw invalid(`its ${METADATA_KEY} is not an object`);
  return Object.fromEntries(
    Object.entries(metadata).map(([name, value]) => {
      if (typeof value !== "string") throw invalid(`its ${METADATA_KEY} "${name}" is not a string`);
      return [name, value];
    }),
  );
}

function tensorOf(dtype: SafetensorsDType, shape: readonly number[], buffer: ArrayBuffer): SafetensorsTensor {
  switch (dtype) {
    case "F64":
      return { dtype, shape, data: new Float64Array(buffer) };
    case "F32":
      return { dtype, shape, data: new Float32Array(buffer) };
    case "I64":
      return { dtype, shape, data: new BigInt64Array(buffer) };
    case "I32":
      return { dtype, shape, data: new Int32Array(buffer) };
    case "U32":
      return { dtype, shape, data: new Uint32Array(buffer) };
    case "F16":
    case "BF16":
    case "U8":
      return { dtype, shape, data: new Uint8Array(buffer) };
  }
}

function byteLength(dtype: SafetensorsDType, shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, ELEMENT_BYTES[dtype]);
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isDType(value: unknown): value is SafetensorsDType {
  return typeof value === "string" && Object.hasOwn(ELEMENT_BYTES, value);
}

function isShape(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** By code units, so that the order depends on no locale. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function invalid(reason: string, options?: ErrorOptions): CheckpointError {
  return new CheckpointError(`Cannot read the safetensors file: ${reason}`, options);
}

function invalidTensor(name: string, reason: string): CheckpointError {
  return invalid(`tensor "${name}": ${reason}`);
}
