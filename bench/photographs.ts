/** Photographs of ImageNet's usual size, as a folder, an archive, shards and tables: made anew, so that none are kept. */
import { join } from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import sharp from "sharp";
import { tarMember } from "../tests/data/fixtures.ts";
import { zip } from "../tests/data/zip_fixture.ts";

export const PHOTOGRAPH = { width: 500, height: 375 } as const;
/** Different files; the others repeat them. */
const DISTINCT = 32;
const TEST_IMAGES = 2;

/** What a data set can be imported from: its name and where it lies. */
export interface PhotographSource {
  readonly reader: "folder" | "zip" | "WebDataset" | "Parquet";
  readonly path: string;
}

interface Member {
  readonly split: "train" | "test";
  readonly label: number;
  readonly name: string;
  readonly file: Uint8Array;
}

/** Files of about 60 kB: noise, smoothed to the detail that photographs have. */
export async function makePhotographs(): Promise<Uint8Array[]> {
  return await Promise.all(Array.from({ length: DISTINCT }, async () => {
    const noise = { type: "gaussian", mean: 128, sigma: 50 } as const;
    const rough = sharp({ create: { width: 80, height: 60, channels: 3, background: "grey", noise } });
    const smooth = sharp(await rough.png().toBuffer()).resize({ ...PHOTOGRAPH, fit: "fill" });
    return new Uint8Array(await smooth.jpeg({ quality: 92 }).toBuffer());
  }));
}

/** Two classes, `train` images in all to train; the same images in each form. */
export async function writePhotographs(
  folder: string,
  files: readonly Uint8Array[],
  train: number,
): Promise<PhotographSource[]> {
  const members = (["train", "test"] as const).flatMap((split) =>
    Array.from({ length: split === "train" ? train : TEST_IMAGES }, (_, i): Member => {
      return { split, label: i % 2, name: String(i).padStart(6, "0"), file: files[i % files.length] };
    })
  );
  const sources = {
    folder: join(folder, "folder"),
    zip: join(folder, "folder.zip"),
    WebDataset: join(folder, "shards"),
    Parquet: join(folder, "tables"),
  };
  const classFolders = ["train/0", "train/1", "test/0", "test/1"].map((path) => join(sources.folder, path));
  for (const path of [sources.WebDataset, sources.Parquet, ...classFolders]) {
    await Deno.mkdir(path, { recursive: true });
  }
  const paths = members.map(({ split, label, name }) => `${split}/${label}/${name}.jpg`);
  for (const [i, path] of paths.entries()) {
    await Deno.writeFile(join(sources.folder, path), members[i].file);
  }
  await Deno.writeFile(sources.zip, zip(...paths.map((name, i) => ({ name, content: members[i].file }))));
  for (const split of ["train", "test"] as const) {
    const own = members.filter((member) => member.split === split);
    await writeShard(join(sources.WebDataset, `${split}-0.tar`), own);
    await Deno.writeFile(join(sources.Parquet, `${split}.parquet`), table(own));
  }
  return Object.entries(sources).map(([reader, path]) => ({ reader: reader as PhotographSource["reader"], path }));
}

async function writeShard(path: string, members: readonly Member[]): Promise<void> {
  using shard = await Deno.open(path, { write: true, create: true });
  const write = async (bytes: Uint8Array) => {
    for (let at = 0; at < bytes.length;) at += await shard.write(bytes.subarray(at));
  };
  for (const { name, file, label } of members) {
    await write(tarMember(`${name}.jpg`, file));
    await write(tarMember(`${name}.cls`, String(label)));
  }
  await write(new Uint8Array(1024));
}

function table(members: readonly Member[]): Uint8Array {
  return new Uint8Array(parquetWriteBuffer({
    columnData: [
      { name: "image", data: members.map(({ file }) => file), type: "BYTE_ARRAY" },
      { name: "label", data: members.map(({ label }) => label), type: "INT32" },
    ],
    rowGroupSize: 256,
  }));
}
