/**
 * Where the images of a streamed data set lie: `<split>.records` has a record an image, the name it was imported under
 * (UTF-8) and then the image file as it came; `<split>.index` has an entry a record, 32 bytes little-endian:
 *
 *     u64 offset   u32 name bytes   u32 image bytes   u32 CRC-32 of the image   u32 label   u32 height   u32 width
 */

/** Of an entry of the index. */
export const RECORD_BYTES = 32;

export interface ImageRecord {
  /** Of the name, in bytes of the records' file; the image follows. */
  readonly offset: number;
  readonly nameBytes: number;
  readonly imageBytes: number;
  /** CRC-32 of the image file. */
  readonly checksum: number;
  readonly label: number;
  /** As the image is seen, its orientation applied. */
  readonly height: number;
  readonly width: number;
}

export function encodeRecord(record: ImageRecord): Uint8Array {
  const entry = new DataView(new ArrayBuffer(RECORD_BYTES));
  entry.setBigUint64(0, BigInt(record.offset), true);
  const { nameBytes, imageBytes, checksum, label, height, width } = record;
  [nameBytes, imageBytes, checksum, label, height, width].forEach((value, i) =>
    entry.setUint32(8 + 4 * i, value, true)
  );
  return new Uint8Array(entry.buffer);
}

/** The entries of one split, read as they are asked for: a million images take 32 MB and no object each. */
export class RecordIndex {
  readonly #entries: DataView;

  /** @param bytes whole entries */
  constructor(bytes: Uint8Array) {
    this.#entries = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get count(): number {
    return this.#entries.byteLength / RECORD_BYTES;
  }

  /** @throws {RangeError} past the end */
  at(index: number): ImageRecord {
    const start = index * RECORD_BYTES;
    const word = (i: number) => this.#entries.getUint32(start + 8 + 4 * i, true);
    return {
      offset: Number(this.#entries.getBigUint64(start, true)),
      nameBytes: word(0),
      imageBytes: word(1),
      checksum: word(2),
      label: word(3),
      height: word(4),
      width: word(5),
    };
  }
}
