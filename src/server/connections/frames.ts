/** HTTP/2 frames on their way through a socket (RFC 9113, section 4.1): only their headers are read. */

export const FrameType = { data: 0, priority: 2, resetStream: 3, settings: 4, ping: 6, continuation: 9 } as const;

export interface FrameHeader {
  /** Bytes after the header. */
  readonly length: number;
  readonly type: number;
  readonly flags: number;
  /** 0: the connection's own. */
  readonly stream: number;
}

export const frameHeaderBytes = 9;
/** A client sends this before its first frame. */
const prefaceBytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".length;

/** @param bytes from the frame's beginning, at least `frameHeaderBytes` */
export function readFrameHeader(bytes: Uint8Array): FrameHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, frameHeaderBytes);
  return {
    length: view.getUint32(0) >>> 8,
    type: view.getUint8(3),
    flags: view.getUint8(4),
    stream: view.getUint32(5) & 0x7fffffff,
  };
}

/** Finds the frames that a client sends, in chunks cut anywhere. */
export class FrameReader {
  private readonly header = new Uint8Array(frameHeaderBytes);
  private headerFilled = 0;
  private toSkip = prefaceBytes;

  constructor(private readonly onFrame: (header: FrameHeader) => void) {}

  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.toSkip > 0) {
        const skipped = Math.min(this.toSkip, chunk.length - at);
        this.toSkip -= skipped;
        at += skipped;
        continue;
      }
      const part = chunk.subarray(at, at + frameHeaderBytes - this.headerFilled);
      this.header.set(part, this.headerFilled);
      this.headerFilled += part.length;
      at += part.length;
      if (this.headerFilled < frameHeaderBytes) return;
      this.headerFilled = 0;
      const header = readFrameHeader(this.header);
      this.toSkip = header.length;
      this.onFrame(header);
    }
  }
}
