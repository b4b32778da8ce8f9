import { DatasetFolder } from "./dataset_folder.ts";
import { PackedDataset } from "./packed_reader.ts";
import { StreamedDataset } from "./streamed_reader.ts";

/**
 * Opens the folder of a data set, whichever kind it is of.
 *
 * @returns undefined where there is no such folder
 * @throws {DatasetError} `damaged` or `storage`
 */
export async function openDataset(name: string, path: string): Promise<PackedDataset | StreamedDataset | undefined> {
  const folder = new DatasetFolder(name, path);
  if (!(await folder.exists())) return undefined;
  const manifest = await folder.manifest();
  return manifest.kind === "packed" ? PackedDataset.open(folder, manifest) : StreamedDataset.open(folder, manifest);
}
