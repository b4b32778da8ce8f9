import { basename } from "node:path";
import type { ImageSize, ImageSource } from "../dataset.ts";
import { formatSize } from "../dataset.ts";
import { DatasetError } from "../errors.ts";
import { fileType } from "../images/file_type.ts";
import { CIFAR_LAYOUTS, cifarFiles, openCifar } from "./cifar.ts";
import { openCifarArchive } from "./cifar_archive.ts";
import { readStart } from "./file_start.ts";
import { hasIdxFiles, openIdx } from "./idx.ts";
import { isTrainFolder, openImageFolder } from "./image_folder.ts";
import { isArray, openNpz } from "./npz.ts";
import { openParquet } from "./parquet.ts";
import { refusePickle, refusePickledFiles } from "./pickle.ts";
import { splitShards } from "./shards.ts";
import type { SourceEntry } from "./source_tree.ts";
import { ofSource, SourceTree } from "./source_tree.ts";
import { openWebDataset } from "./web_dataset.ts";
import { findSplitZips, openSplitZips, openZip } from "./zip.ts";
import { ZipTree } from "./zip_tree.ts";

export interface OpenOptions {
  /** Parts left out are the source's own, or of image files the default's. */
  readonly size: Partial<ImageSize>;
  readonly defaultSize: ImageSize;
  /** Which folders of an image folder are the classes, in this order; for other sources the names of 0, 1, 2, ... */
  readonly classNames?: readonly string[];
  /** An existing empty folder for files that have to be unpacked. */
  readonly scratch: string;
  /** Closes files that stay open while the source is read. */
  readonly resources: DisposableStack;
  readonly signal: AbortSignal;
}

/**
 * Opens a file or folder as what it is found to be: an archive or a folder of CIFAR-10 or CIFAR-100, or a folder of
 * images a class, as it is or in a zip archive, MNIST's idx files, NumPy's arrays,
 * shards of WebDataset, or Parquet files.
 *
 * @throws {DatasetError} `invalid`, saying what would be accepted
 */
export async function openSource(path: string, options: OpenOptions): Promise<ImageSource> {
  const source = await openAny(path, options);
  return options.classNames ? withClassNames(source, options.classNames) : source;
}

async function openAny(path: string, options: OpenOptions): Promise<ImageSource> {
  const { isFile, isDirectory } = await ofSource(path, () => Deno.stat(path));
  if (isFile) return await openFile(path, options);
  if (!isDirectory) {
    throw new DatasetError("invalid", `Cannot import ${path}: it is neither a file nor a folder`);
  }

  const tree = await SourceTree.open(path);
  refusePickle(tree.root.name);
  const top = await tree.list();
  // An image folder's classes may have any names, CIFAR's files too.
  const size = { ...options.defaultSize, ...options.size };
  if (top.some(isTrainFolder)) return openImageFolder(tree, { ...options, size });
  if (hasIdxFiles(top)) return withOwnSize(await openIdx(tree), options.size);
  const shards = splitShards(top, ".tar");
  if (shards) return openWebDataset(shards, { size, signal: options.signal });
  const tables = splitShards(top, ".parquet");
  if (tables) return openParquet(tables, { size, signal: options.signal });
  const zips = findSplitZips(top);
  if (zips) return openSplitZips(zips, { ...options, size });
  const cifar = await openCifarFolder(tree, tree.root, top);
  if (cifar) return withOwnSize(cifar, options.size);
  for (const entry of top.filter(({ kind }) => kind === "folder")) {
    refusePickle(entry.name);
    if (!CIFAR_LAYOUTS.some(({ folder }) => folder === entry.name)) continue;
    const source = await openCifarFolder(tree, entry, await tree.list(entry));
    if (source) return withOwnSize(source, options.size);
  }
  const layouts = CIFAR_LAYOUTS.map(({ folder }) => folder).join(", ");
  throw new DatasetError(
    "invalid",
    `Cannot tell what the folder holds: must have train/<class>/<image> and test/<class>/<image>, ` +
      `or be one of ${layouts}, or have train.zip and test.zip, train*.tar and test*.tar, train*.parquet and ` +
      `test*.parquet, or MNIST's idx files`,
  );
}

async function openFile(path: string, options: OpenOptions): Promise<ImageSource> {
  const type = fileType(await readStart(path));
  if (type === "zip") {
    const tree = options.resources.use(await ZipTree.open(path, { title: basename(path), signal: options.signal }));
    if ((await tree.list()).some(isArray)) return withOwnSize(await openNpz(tree), options.size);
    return openZip(tree, { ...options, title: basename(path), size: { ...options.defaultSize, ...options.size } });
  }
  return withOwnSize(await openCifarArchive(path, options), options.size);
}

async function openCifarFolder(
  tree: SourceTree,
  folder: SourceEntry,
  entries: readonly SourceEntry[],
): Promise<ImageSource | undefined> {
  const names = new Set(entries.filter(({ kind }) => kind === "file").map(({ name }) => name));
  refusePickledFiles(names);
  const layout = CIFAR_LAYOUTS.find((candidate) =>
    candidate.folder === folder.name || cifarFiles(candidate).some((file) => names.has(file))
  );
  return layout && await openCifar(tree, folder, layout);
}

/** @throws {DatasetError} where there are not as many names as classes */
function withClassNames(source: ImageSource, names: readonly string[]): ImageSource {
  if (names.length === source.classNames.length) return { ...source, classNames: names };
  throw new DatasetError(
    "invalid",
    `Cannot name the classes: there are ${source.classNames.length} of them and ${names.length} names`,
  );
}

/** @throws {DatasetError} where another size is asked for than the source has */
function withOwnSize(source: ImageSource, wanted: Partial<ImageSize>): ImageSource {
  const asked = { ...source.size, ...wanted };
  if (formatSize(asked) !== formatSize(source.size)) {
    throw new DatasetError(
      "invalid",
      `Cannot scale this data set to ${formatSize(asked)}: its images are ${formatSize(source.size)}`,
    );
  }
  return source;
}
