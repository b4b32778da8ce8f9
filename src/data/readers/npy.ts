/** NumPy's array files: a text header, then the elements (numpy.lib.format, versions 1 to 3). */
import { DatasetError } from "../errors.ts";

const MAGIC = "\x93NUMPY";

/** By NumPy's name of the type; all little-endian or of one byte. */
const TYPES = {
  "|u1": { bytes: 1, read: (view: DataView, at: number) => view.getUint8(at) },
  "|i1": { bytes: 1, read: (view: DataView, at: number) => view.getInt8(at) },
  "<u2": { bytes: 2, read: (view: DataView, at: number) => view.getUint16(at, true) },
  "<i2": { bytes: 2, read: (view: DataView, at: number) => view.getInt16(at, true) },
  "<u4": { bytes: 4, read: (view: DataView, at: number) => view.getUint32(at, true) },
  "<i4": { bytes: 4, read: (view: DataView, at: number) => view.getInt32(at, true) },
  "<u8": { bytes: 8, read: (view: DataView, at: number) => Number(view.getBigUint64(at, true)) },
  "<i8": { bytes: 8, read: (view: DataView, at: number) => Number(view.getBigInt64(at, true)) },
} as const;

export type NpyType = keyof typeof TYPES;

export interface NpyArray {
  readonly type: NpyType;
  readonly shape: readonly number[];
  /** The elements' bytes, the last dimension running fastest. */
  readonly data: Uint8Array;
}

/**
 * @param name how messages name the array
 * @throws {DatasetError} for other files, types that are no whole numbers, Fortran's order and wrong lengths
 */
export function parseNpy(bytes: Uint8Array, name: string): NpyArray {
  const refuse = (problem: string) => new DatasetError("invalid", `Cannot use ${name}: ${problem}`);
  const latin1 = new TextDecoder("latin1");
  if (bytes.length < 12 || Array.from(MAGIC).some((character, i) => bytes[i] !== character.charCodeAt(0))) {
    throw refuse("it is no NumPy array");
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isOld = bytes[6] === 1;
  const start = isOld ? 10 : 12;
  const end = start + (isOld ? view.getUint16(8, true) : view.getUint32(8, true));
  const header = latin1.decode(bytes.subarray(start, end));
  const type = /'descr':\s*'([^']*)'/.exec(header)?.[1];
  const order = /'fortran_order':\s*(True|False)/.exec(header)?.[1];
  const sides = /'shape':\s*\(([\d,\s]*)\)/.exec(header)?.[1];
  if (end > bytes.length || sides === undefined || order === undefined) throw refuse("its header is damaged");
  if (type === undefined || !isNpyType(type)) {
    throw refuse(
      `its elements are of type ${type ?? "object"}: must be whole numbers, ${Object.keys(TYPES).join(", ")}`,
    );
  }
  if (order === "True") throw refuse("it is in Fortran's order: save it with numpy.ascontiguousarray");
  const shape = sides.split(",").map((side) => side.trim()).filter((side) => side !== "").map(Number);
  const expected = shape.reduce((product, side) => product * side, TYPES[type].bytes);
  const data = bytes.subarray(end);
  if (data.length !== expected) {
    throw refuse(`it has ${data.length} bytes of elements where its shape (${shape.join(", ")}) needs ${expected}`);
  }
  return { type, shape, data };
}

/** The elements as class indices. @throws {DatasetError} where one is negative or past 32 bits */
export function toLabels({ type, data }: NpyArray, name: string): Uint32Array {
  const { bytes, read } = TYPES[type];
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return Uint32Array.from({ length: data.length / bytes }, (_, i) => {
    const label = read(view, i * bytes);
    if (label >= 0 && label < 2 ** 32) return label;
    throw new DatasetError("invalid", `Cannot use ${name}: element ${i} is ${label}, must be a class index from 0`);
  });
}

function isNpyType(type: string): type is NpyType {
  return Object.hasOwn(TYPES, type);
}
