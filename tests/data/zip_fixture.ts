/** Writes zip archives by hand, so that hostile ones can be made. */
import { crc32, deflateRawSync } from "node:zlib";
import { Buffer } from "node:buffer";

export interface ZipMember {
  readonly name: string;
  readonly content: Uint8Array | string;
  readonly deflate?: boolean;
  /** What the headers say in place of the content's length. */
  readonly claimedBytes?: number;
  /** Of Unix, for symbolic links. */
  readonly mode?: number;
  readonly flags?: number;
  /** What the headers say in place of stored (0) or deflated (8). */
  readonly method?: number;
  readonly crc?: number;
}

export function zip(...members: readonly ZipMember[]): Uint8Array {
  const locals: Uint8Array[] = [];
  const central: Uint8Array[] = [];
  let offset = 0;
  for (const member of members) {
    const bytes = typeof member.content === "string" ? new TextEncoder().encode(member.content) : member.content;
    const data = member.deflate ? new Uint8Array(deflateRawSync(bytes)) : bytes;
    const name = new TextEncoder().encode(member.name);
    // From "version needed" to "extra length", which both headers share.
    const shared = [
      u16(20, (member.flags ?? 0) | 0x800, member.method ?? (member.deflate ? 8 : 0), 0, 0),
      u32(member.crc ?? crc32(bytes), data.length, member.claimedBytes ?? bytes.length),
      u16(name.length, 0),
    ];
    const local = joined(u32(0x04034b50), ...shared, name, data);
    central.push(joined(
      u32(0x02014b50),
      u16(0x31e),
      ...shared,
      u16(0, 0, 0),
      u32(((member.mode ?? 0o100644) << 16) >>> 0, offset),
      name,
    ));
    locals.push(local);
    offset += local.length;
  }
  const directory = joined(...central);
  const end = [u32(0x06054b50), u16(0, 0, members.length, members.length), u32(directory.length, offset), u16(0)];
  return joined(...locals, directory, ...end);
}

function u16(...values: number[]): Uint8Array {
  return new Uint8Array(Uint16Array.from(values).buffer);
}

function u32(...values: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
