/** What a file looks like by its first bytes. */

interface Signature {
  readonly type: string;
  readonly bytes: readonly number[];
  readonly offset?: number;
}

const ascii = (text: string) => Array.from(text, (character) => character.charCodeAt(0));

const SIGNATURES: readonly Signature[] = [
  { type: "PNG", bytes: [0x89, ...ascii("PNG\r\n"), 0x1a, 0x0a] },
  { type: "JPEG", bytes: [0xff, 0xd8, 0xff] },
  { type: "GIF", bytes: ascii("GIF8") },
  { type: "WebP", bytes: ascii("WEBP"), offset: 8 },
  { type: "AVIF", bytes: ascii("ftypavif"), offset: 4 },
  { type: "HEIC", bytes: ascii("ftyphei"), offset: 4 },
  { type: "HEIC", bytes: ascii("ftypmif1"), offset: 4 },
  { type: "TIFF", bytes: [...ascii("II"), 42, 0] },
  { type: "TIFF", bytes: [...ascii("MM"), 0, 42] },
  { type: "JPEG 2000", bytes: ascii("jP  "), offset: 4 },
  { type: "JPEG XL", bytes: [0xff, 0x0a] },
  { type: "JPEG XL", bytes: ascii("JXL "), offset: 4 },
  { type: "BMP", bytes: ascii("BM") },
  { type: "SVG or XML", bytes: ascii("<svg") },
  { type: "SVG or XML", bytes: ascii("<?xml") },
  { type: "PDF", bytes: ascii("%PDF") },
  { type: "gzip", bytes: [0x1f, 0x8b] },
  { type: "zip", bytes: ascii("PK") },
  { type: "tar", bytes: ascii("ustar"), offset: 257 },
];

/** "PNG", "GIF", "gzip", ...; undefined where the beginning is none of those known here. */
export function fileType(bytes: Uint8Array): string | undefined {
  return SIGNATURES.find(({ bytes: expected, offset = 0 }) => expected.every((value, i) => bytes[offset + i] === value))
    ?.type;
}

/**
 * Whether a PNG file goes on to its last chunk: decoders are content with a file that ends behind the last row.
 *
 * @param bytes begin with the signature of PNG
 */
export function hasPngEnd(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = 0x49454e44; // "IEND"
  // A chunk: length, type, data, checksum.
  for (let at = 8; at + 12 <= bytes.length; at += 12 + view.getUint32(at)) {
    if (view.getUint32(at + 4) === end) return true;
  }
  return false;
}

/**
 * Whether a JPEG file has its end marker near the end of the file, where other programs may have added a little.
 *
 * @param bytes begin with the signature of JPEG
 */
export function hasJpegEnd(bytes: Uint8Array): boolean {
  const tail = bytes.subarray(-1024);
  return tail.some((byte, i) => byte === 0xff && tail[i + 1] === 0xd9);
}

/**
 * Whether a WebP file is as long as its RIFF header says, which counts the bytes behind itself.
 *
 * @param bytes begin with the signature of WebP
 */
export function hasWebpEnd(bytes: Uint8Array): boolean {
  const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return bytes.length >= 8 + header.getUint32(4, true);
}
