import type { LabelledImages, Split } from "../dataset.ts";
import { SPLITS } from "../dataset.ts";
import type { DatasetFolder } from "./dataset_folder.ts";
import type { PackedManifest } from "./manifest.ts";
import { assertLittleEndian, splitFileName } from "./packed_writer.ts";

/** A folder that `packDataset` wrote, as found on the disk. */
export class PackedDataset {
  readonly kind = "packed";

  private constructor(readonly folder: DatasetFolder, readonly manifest: PackedManifest) {}

  /**
   * Compares the files' lengths with the manifest (checksums are compared when a split is loaded).
   * @throws {DatasetError} `damaged` or `storage`
   */
  static async open(folder: DatasetFolder, manifest: PackedManifest): Promise<PackedDataset> {
    for (const split of SPLITS) {
      for (const part of ["pixels", "labels"] as const) {
        await folder.checkLength(splitFileName(split, part), manifest.files[split][part]);
      }
    }
    return new PackedDataset(folder, manifest);
  }

  /** Reads a split into memory. @throws {DatasetError} `damaged` where a length or checksum differs, or `storage` */
  async load(split: Split): Promise<LabelledImages> {
    assertLittleEndian();
    const { description: { images }, files } = this.manifest;
    const pixels = await this.folder.read(splitFileName(split, "pixels"), files[split].pixels);
    const labels = await this.folder.read(splitFileName(split, "labels"), files[split].labels);
    // Copied, for a view of 32-bit numbers has to be aligned.
    return { count: images[split], pixels, labels: new Uint32Array(labels.slice().buffer) };
  }
}
