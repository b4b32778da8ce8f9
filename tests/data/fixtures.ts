/** Makes small data sets of known content in temporary folders. */
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import sharp from "sharp";

/** A folder that goes with its scope. */
export class TemporaryFolder implements AsyncDisposable {
  private constructor(readonly path: string) {}

  static async create(): Promise<TemporaryFolder> {
    return new TemporaryFolder(await Deno.makeTempDir({ prefix: "multistep-data-" }));
  }

  join(...parts: string[]): string {
    return join(this.path, ...parts);
  }

  /** Writes a file, making the folders on its way. */
  async write(path: string, content: Uint8Array | string): Promise<string> {
    const full = this.join(path);
    await Deno.mkdir(dirname(full), { recursive: true });
    await Deno.writeFile(full, typeof content === "string" ? new TextEncoder().encode(content) : content);
    return full;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

export async function fileNames(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name).sort();
}

export async function sha256(...parts: Uint8Array[]): Promise<string> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/** Of one colour. */
export async function png(size: { width: number; height: number }, color: string): Promise<Uint8Array> {
  return new Uint8Array(await sharp({ create: { ...size, channels: 3, background: color } }).png().toBuffer());
}

/** A PNG of the given bytes, 1 to 4 channels. */
export async function rawPng(
  pixels: number[],
  size: { width: number; height: number; channels: 1 | 2 | 3 | 4 },
): Promise<Uint8Array> {
  const space = size.channels < 3 ? "b-w" : "srgb";
  return new Uint8Array(await sharp(Uint8Array.from(pixels), { raw: size }).toColourspace(space).png().toBuffer());
}

/** Noise, so that the file is as long as a photograph's. */
export async function jpeg(size: { width: number; height: number }): Promise<Uint8Array> {
  const noise = { type: "gaussian", mean: 128, sigma: 40 } as const;
  const image = sharp({ create: { ...size, channels: 3, background: "white", noise } });
  return new Uint8Array(await image.jpeg({ quality: 90 }).toBuffer());
}

/** A record of CIFAR: labels, then planes. `value(channel, pixel)` gives each byte. */
export function cifarRecord(labels: number[], value: (channel: number, pixel: number) => number): Uint8Array {
  const record = new Uint8Array(labels.length + 3072);
  record.set(labels);
  for (let channel = 0; channel < 3; channel++) {
    for (let pixel = 0; pixel < 1024; pixel++) record[labels.length + channel * 1024 + pixel] = value(channel, pixel);
  }
  return record;
}

/** Image `i` of those below: its own base, each channel another slope. */
export function cifarValue(i: number): (channel: number, pixel: number) => number {
  return (channel, pixel) => (i * 7 + channel * 50 + pixel * (channel + 1)) % 256;
}

export const CIFAR10_NAMES = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";

export function concatenate(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => Array.from(part)));
}

/** CIFAR-10 with two batches of two images and one test image; image i has label i. */
export function cifar10Files(): Record<string, Uint8Array> {
  const image = (i: number) => cifarRecord([i], cifarValue(i));
  return {
    "data_batch_1.bin": concatenate(image(0), image(1)),
    "data_batch_2.bin": concatenate(image(2), image(3)),
    "test_batch.bin": image(9),
    "batches.meta.txt": new TextEncoder().encode(CIFAR10_NAMES),
  };
}

/** A ustar header and its content. `type`: "0" file, "5" folder, "2" link, "x" pax, "L" GNU long name. */
export function tarMember(name: string, content: Uint8Array | string, type = "0"): Uint8Array {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const header = new Uint8Array(512);
  const put = (text: string, at: number) => header.set(new TextEncoder().encode(text), at);
  put(name, 0);
  put("0000644\0", 100);
  put(`${bytes.length.toString(8).padStart(11, "0")}\0`, 124);
  put("        ", 148);
  put(type, 156);
  put("ustar\0" + "00", 257);
  put(`${header.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, "0")}\0 `, 148);
  const blocks = new Uint8Array(512 + Math.ceil(bytes.length / 512) * 512);
  blocks.set(header);
  blocks.set(bytes, 512);
  return blocks;
}

export function tar(...members: Uint8Array[]): Uint8Array {
  return concatenate(...members, new Uint8Array(1024));
}

export function gzip(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(gzipSync(bytes));
}

/** Two classes of flat-coloured PNGs: red cats, blue dogs; `train` of each to train and one each to test. */
export async function writeImageFolder(folder: TemporaryFolder, root: string, { train = 3 } = {}): Promise<string> {
  for (const [name, color] of [["cat", "#ff0000"], ["dog", "#0000ff"]]) {
    const image = await png({ width: 8, height: 6 }, color);
    for (let i = 0; i < train; i++) await folder.write(`${root}/train/${name}/${i}.png`, image);
    await folder.write(`${root}/test/${name}/0.png`, image);
  }
  return folder.join(root);
}
