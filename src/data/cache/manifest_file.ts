import { join } from "node:path";
import { DataFile } from "./data_file.ts";
import { formatManifest, type Manifest, MANIFEST_FILE } from "./manifest.ts";

/** Comes last of a data set's files. @throws {DatasetError} `storage` */
export async function writeManifest(folder: string, manifest: Manifest, task: string): Promise<void> {
  using file = await DataFile.open(join(folder, MANIFEST_FILE), { task });
  await file.write(new TextEncoder().encode(formatManifest(manifest)));
  await file.finish();
}
