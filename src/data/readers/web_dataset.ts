/**
 * WebDataset's shards: tar archives in which a sample is the files of one name, `0001.jpg` and `0001.cls` (the class
 * index as text) or `0001.json` (with a field `label`).
 */
import type { ImageSize, ImageSource, Split } from "../dataset.ts";
import { DatasetError } from "../errors.ts";
import { MAX_IMAGE_FILE_BYTES } from "../images/limits.ts";
import { type ImageClass, imageClassSource, type ImageFile } from "./image_set.ts";
import { SkippedFiles } from "./skipped_files.ts";
import { ofSource, type SourceEntry } from "./source_tree.ts";
import { readTar, type TarMember } from "./tar.ts";

const IMAGE_ENDINGS: readonly string[] = ["jpg", "jpeg", "png", "webp"];
const MAX_LABEL_BYTES = 64 * 1024;
const MAX_CLASSES = 100_000;

interface Sample {
  readonly key: string;
  readonly image?: ImageFile;
  readonly label?: number;
  /** Why the label cannot be used. */
  readonly problem?: string;
}

/**
 * Lists the shards: one pass over the archives, after which images are read where they lie.
 *
 * @throws {DatasetError} where a shard is damaged, has a member outside its folder or an image twice
 */
export async function openWebDataset(
  shards: Readonly<Record<Split, readonly SourceEntry[]>>,
  { size, signal }: { readonly size: ImageSize; readonly signal: AbortSignal },
): Promise<ImageSource> {
  const skipped = new SkippedFiles();
  const list = async (split: Split) => {
    const files: ImageFile[][] = [];
    for (const shard of shards[split]) {
      for await (const sample of readSamples(shard, signal)) {
        const reason = problemOf(sample);
        if (sample.image === undefined || sample.label === undefined || reason !== undefined) {
          skipped.add(`${shard.path}: ${sample.key}`, reason ?? "has no label beside it");
        } else {
          (files[sample.label] ??= []).push(sample.image);
        }
      }
    }
    return files;
  };
  const files = { train: await list("train"), test: await list("test") };
  const count = Math.max(files.train.length, files.test.length);
  const name = (of: readonly ImageFile[][]): ImageClass[] =>
    Array.from({ length: count }, (_, label) => ({ name: String(label), files: of[label] ?? [] }));
  const classes = { train: name(files.train), test: name(files.test) };
  return imageClassSource({ title: "WebDataset", size, classes, skipped });
}

function problemOf({ image, problem }: Sample): string | undefined {
  if (image === undefined) return `has no image: must be .${IMAGE_ENDINGS.join(", .")}`;
  return problem;
}

/** The members of a sample follow one another. */
async function* readSamples(shard: SourceEntry, signal: AbortSignal): AsyncGenerator<Sample> {
  const input = await ofSource(shard.path, () => Deno.open(shard.realPath));
  let sample: Sample | undefined;
  for await (const member of readTar(input.readable)) {
    signal.throwIfAborted();
    if (!member.isFile) continue;
    const { key, ending } = splitName(member.name);
    if (key.split("/").some((part) => part.startsWith("."))) continue;
    if (sample?.key !== key) {
      if (sample) yield sample;
      sample = { key };
    }
    sample = { ...sample, ...await readPart(sample, { member, ending, shard }) };
  }
  if (sample) yield sample;
}

/** "a/b.seg.png": the key ends at the first dot of the file's name. */
function splitName(name: string): { readonly key: string; readonly ending: string } {
  const dot = name.indexOf(".", name.lastIndexOf("/") + 2);
  return dot < 0 ? { key: name, ending: "" } : { key: name.slice(0, dot), ending: name.slice(dot + 1).toLowerCase() };
}

async function readPart(
  sample: Sample,
  { member, ending, shard }: { readonly member: TarMember; readonly ending: string; readonly shard: SourceEntry },
): Promise<Partial<Sample>> {
  if (IMAGE_ENDINGS.includes(ending)) {
    if (sample.image) throw new DatasetError("invalid", `Shard ${shard.path} has an image of ${sample.key} twice`);
    return { image: imageAt(shard, member) };
  }
  if (ending === "cls") return parseLabel((await readText(member)).trim());
  if (ending === "json" && sample.label === undefined) return parseLabel(labelOfJson(await readText(member)));
  return {};
}

function imageAt(shard: SourceEntry, { name, offset, size }: TarMember): ImageFile {
  const path = `${shard.path}: ${name}`;
  return {
    path,
    async read() {
      if (size > MAX_IMAGE_FILE_BYTES) return `larger than ${MAX_IMAGE_FILE_BYTES} bytes`;
      return await ofSource(path, async () => {
        using file = await Deno.open(shard.realPath);
        await file.seek(offset, Deno.SeekMode.Start);
        const bytes = new Uint8Array(size);
        for (let filled = 0; filled < size;) {
          const read = await file.read(bytes.subarray(filled));
          if (read === null) return "is no longer there: the shard changed while it was read";
          filled += read;
        }
        return bytes;
      });
    },
  };
}

async function readText({ content, size }: TarMember): Promise<string> {
  if (size > MAX_LABEL_BYTES) return "";
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of content) text += decoder.decode(chunk, { stream: true });
  return text + decoder.decode();
}

function labelOfJson(text: string): string {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed !== "object" || parsed === null) return text;
    const label = "label" in parsed ? parsed.label : "cls" in parsed ? parsed.cls : undefined;
    return String(label);
  } catch {
    return text;
  }
}

function parseLabel(text: string): Partial<Sample> {
  const label = Number(text);
  if (/^\d+$/.test(text) && label < MAX_CLASSES) return { label };
  return { problem: `its label is ${JSON.stringify(text.slice(0, 40))}: must be a whole number below ${MAX_CLASSES}` };
}
