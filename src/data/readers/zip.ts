/** Zip archives of an image folder, whole or an archive a split. */
import type { ImageSource } from "../dataset.ts";
import { DatasetError } from "../errors.ts";
import { type FolderOptions, isTrainFolder, openImageFolder, openSplitFolders } from "./image_folder.ts";
import type { SourceEntry } from "./source_tree.ts";
import { ZipTree } from "./zip_tree.ts";

const TRAIN_ARCHIVE = "train.zip";
const TEST_ARCHIVES: readonly string[] = ["test.zip", "val.zip"];

export interface SplitOptions extends FolderOptions {
  /** Closes the archives when the source has been read. */
  readonly resources: DisposableStack;
  readonly signal: AbortSignal;
}

/** @throws {DatasetError} where the archive holds no image folder */
export async function openZip(
  tree: ZipTree,
  { title, ...options }: FolderOptions & { readonly title: string },
): Promise<ImageSource> {
  if (!(await tree.list()).some(isTrainFolder)) {
    throw new DatasetError(
      "invalid",
      `Cannot tell what ${title} holds: must have train/<class>/<image> and test/<class>/<image>, or NumPy's arrays; ` +
        `of an archive a split, ${TRAIN_ARCHIVE} and ${TEST_ARCHIVES[0]}, import the folder they lie in`,
    );
  }
  return openImageFolder(tree, options);
}

/** The archives of a folder that holds one a split; undefined where it does not. */
export function findSplitZips(
  entries: readonly SourceEntry[],
): { readonly train: SourceEntry; readonly test: SourceEntry } | undefined {
  const find = (name: string) => entries.find((entry) => entry.kind === "file" && entry.name === name);
  const train = find(TRAIN_ARCHIVE);
  const test = TEST_ARCHIVES.map(find).find((entry) => entry !== undefined);
  return train && test && { train, test };
}

/** @throws {DatasetError} where an archive is damaged or hostile, or the two hold no image folder */
export async function openSplitZips(
  { train, test }: { readonly train: SourceEntry; readonly test: SourceEntry },
  { resources, signal, ...options }: SplitOptions,
): Promise<ImageSource> {
  const open = async (entry: SourceEntry) =>
    resources.use(await ZipTree.open(entry.realPath, { title: entry.path, signal }));
  return openSplitFolders({ train: await open(train), test: await open(test) }, options);
}
