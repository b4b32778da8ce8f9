/** NumPy's archives of arrays as Keras has them: `x_train`, `y_train`, `x_test`, `y_test`. */
import type { ImageSize, ImageSource, Split } from "../dataset.ts";
import { DatasetError } from "../errors.ts";
import { arraySource, type LabelledArrays, MAX_ARRAY_BYTES } from "./array_source.ts";
import type { TreeEntry } from "./file_tree.ts";
import { type NpyArray, parseNpy, toLabels } from "./npy.ts";
import type { ZipTree } from "./zip_tree.ts";

export function isArray(entry: TreeEntry): boolean {
  return entry.kind === "file" && entry.name.endsWith(".npy");
}

/**
 * Images: bytes, (images, height, width) or with one or three channels last; labels: whole numbers, (images) or
 * (images, 1).
 *
 * @throws {DatasetError} where an array is missing, or has another type, order or shape
 */
export async function openNpz(tree: ZipTree): Promise<ImageSource> {
  const splits = { train: await readSplit(tree, "train"), test: await readSplit(tree, "test") };
  return arraySource(splits, { title: "NumPy arrays" });
}

async function readSplit(tree: ZipTree, split: Split): Promise<LabelledArrays> {
  const images = await readArray(tree, `x_${split}`);
  const labels = await readArray(tree, `y_${split}`);
  if (images.type !== "|u1") {
    throw new DatasetError(
      "invalid",
      `Cannot use x_${split}: its elements are of type ${images.type}, must be |u1, bytes`,
    );
  }
  const isColumn = labels.shape.length === 2 && labels.shape[1] === 1;
  if (labels.shape.length !== 1 && !isColumn) throw wrongShape(`y_${split}`, labels, "(images) or (images, 1)");
  return {
    title: `x_${split} and y_${split}`,
    size: sizeOf(`x_${split}`, images),
    pixels: images.data,
    labels: toLabels(labels, `y_${split}`),
  };
}

function sizeOf(name: string, array: NpyArray): ImageSize {
  const [, height, width, channels = 1] = array.shape;
  const isImages = array.shape.length === 3 || array.shape.length === 4;
  if (!isImages || height === 0 || width === 0 || (channels !== 1 && channels !== 3)) {
    throw wrongShape(name, array, "(images, height, width), or with 1 or 3 channels last");
  }
  return { height, width, channels };
}

function wrongShape(name: string, { shape }: NpyArray, wanted: string): DatasetError {
  return new DatasetError("invalid", `Cannot use ${name}: its shape is (${shape.join(", ")}), must be ${wanted}`);
}

async function readArray(tree: ZipTree, name: string): Promise<NpyArray> {
  const arrays = (await tree.list()).filter(isArray);
  const found = arrays.find((entry) => entry.name === `${name}.npy`);
  if (!found) {
    const names = arrays.map((entry) => entry.name.replace(/\.npy$/, "")).join(", ");
    throw new DatasetError(
      "invalid",
      `Archive has no array ${name}: must have x_train, y_train, x_test, y_test, has ${names}`,
    );
  }
  const bytes = await tree.read(found, MAX_ARRAY_BYTES);
  if (typeof bytes === "string") throw new DatasetError("invalid", `Cannot use ${name}: ${bytes}`);
  return parseNpy(bytes, name);
}
