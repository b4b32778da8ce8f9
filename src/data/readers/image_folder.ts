/** A folder of images a class: `<split>/<class>/<image>`, as ImageNet and torchvision's ImageFolder have it. */
import type { ImageSize, ImageSource, Split } from "../dataset.ts";
import { DatasetError } from "../errors.ts";
import { MAX_IMAGE_FILE_BYTES } from "../images/limits.ts";
import type { FileTree, TreeEntry } from "./file_tree.ts";
import { type ImageClass, imageClassSource, type ImageFile } from "./image_set.ts";
import { SkippedFiles } from "./skipped_files.ts";

const IMAGE_NAME = /\.(jpe?g|png|webp)$/i;
/** The usual names of the folders, the preferred one first. */
const SPLIT_FOLDERS: Readonly<Record<Split, readonly string[]>> = { train: ["train"], test: ["test", "val"] };

export interface FolderOptions {
  /** What images are scaled to. */
  readonly size: ImageSize;
  /** The folders that are classes, in the order of their indices; undefined: all of them, by name. */
  readonly classNames?: readonly string[];
}

/**
 * Lists `<split>/<class>/<image>`: classes and images in code-point order of their names. Files that are no images are left out.
 *
 * @throws {DatasetError} where a split is missing, the splits' classes differ or one has no image
 */
export async function openImageFolder<E extends TreeEntry>(
  tree: FileTree<E>,
  { size, classNames }: FolderOptions,
): Promise<ImageSource> {
  const skipped = new SkippedFiles();
  const classes = {
    train: await listClasses(tree, chosen(await classFolders(tree, "train"), { classNames, skipped }), skipped),
    test: await listClasses(tree, chosen(await classFolders(tree, "test"), { classNames, skipped }), skipped),
  };
  return imageClassSource({ title: "Image folder", size, classes, skipped });
}

/** The same for splits that lie apart, as an archive each: `<class>/<image>`, or the split's folder with these. */
export async function openSplitFolders<E extends TreeEntry>(
  trees: Readonly<Record<Split, FileTree<E>>>,
  { size, classNames }: FolderOptions,
): Promise<ImageSource> {
  const skipped = new SkippedFiles();
  const list = async (split: Split) => {
    const tree = trees[split];
    const top = (await tree.list()).filter(({ kind }) => kind === "folder");
    const isWrapped = top.length === 1 && SPLIT_FOLDERS[split].includes(top[0].name);
    const folders = isWrapped ? (await tree.list(top[0])).filter(({ kind }) => kind === "folder") : top;
    return await listClasses(tree, chosen(folders, { classNames, skipped }), skipped);
  };
  const classes = { train: await list("train"), test: await list("test") };
  return imageClassSource({ title: "Image folder", size, classes, skipped });
}

/** Whether a folder of this name is a split of an image folder. */
export function isTrainFolder(entry: TreeEntry): boolean {
  return entry.kind === "folder" && SPLIT_FOLDERS.train.includes(entry.name);
}

async function listClasses<E extends TreeEntry>(
  tree: FileTree<E>,
  folders: readonly E[],
  skipped: SkippedFiles,
): Promise<ImageClass[]> {
  const classes: ImageClass[] = [];
  for (const folder of folders) {
    const files: ImageFile[] = [];
    for (const entry of await tree.list(folder)) {
      if (entry.kind === "folder") skipped.add(entry.path, "a folder within a class");
      else if (!IMAGE_NAME.test(entry.name)) skipped.add(entry.path, "not named .jpg, .jpeg, .png or .webp");
      else files.push({ path: entry.path, read: () => tree.read(entry, MAX_IMAGE_FILE_BYTES) });
    }
    classes.push({ name: folder.name, files });
  }
  return classes;
}

/** The folders of the class list in its order. @throws {DatasetError} where one does not exist */
function chosen<E extends TreeEntry>(
  folders: readonly E[],
  { classNames, skipped }: { readonly classNames?: readonly string[]; readonly skipped: SkippedFiles },
): readonly E[] {
  if (!classNames) return folders;
  for (const { name, path } of folders) if (!classNames.includes(name)) skipped.add(path, "not in the class list");
  return classNames.map((name) => {
    const found = folders.find((folder) => folder.name === name);
    if (found) return found;
    const there = folders.slice(0, 20).map((folder) => folder.name).join(", ");
    throw new DatasetError(
      "invalid",
      `Cannot find the class ${JSON.stringify(name)} of the class list: there are ${there}`,
    );
  });
}

/** Of the first folder of the split that holds any: ImageNet's `test` holds images without classes, its `val` is used. */
async function classFolders<E extends TreeEntry>(tree: FileTree<E>, split: Split): Promise<E[]> {
  const top = await tree.list();
  for (const name of SPLIT_FOLDERS[split]) {
    const folder = top.find((entry) => entry.name === name && entry.kind === "folder");
    const classes = folder ? (await tree.list(folder)).filter((entry) => entry.kind === "folder") : [];
    if (classes.length > 0) return classes;
  }
  throw new DatasetError(
    "invalid",
    `Image folder has no folder a class in ${SPLIT_FOLDERS[split].join(" or ")}: ` +
      `must be laid out as train/<class>/<image> and test/<class>/<image>`,
  );
}
