import type { LabelledImages, Split } from "../dataset.ts";
import { imageBytes, SPLITS } from "../dataset.ts";
import { thumbnailOfPixels } from "../images/thumbnail.ts";
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
    const { description: { images }, files } = this.manifest;
    const pixels = await this.folder.read(splitFileName(split, "pixels"), files[split].pixels);
    return { count: images[split], pixels, labels: await this.labels(split) };
  }

  /** The class index of each image of a split. @throws {DatasetError} `damaged` or `storage` */
  async labels(split: Split): Promise<Uint32Array> {
    assertLittleEndian();
    const labels = await this.folder.read(splitFileName(split, "labels"), this.manifest.files[split].labels);
    // Copied, for a view of 32-bit numbers has to be aligned.
    return new Uint32Array(labels.slice().buffer);
  }

  /**
   * Reads single images where they lie; their checksum is not looked at.
   *
   * @param maxSide pixels a side, at most
   * @returns a PNG file each
   * @throws {DatasetError} `damaged` or `storage`
   */
  async thumbnails(split: Split, indices: readonly number[], maxSide: number): Promise<Uint8Array[]> {
    const { description } = this.manifest;
    const name = splitFileName(split, "pixels");
    return await this.folder.withPart(name, async (path) => {
      using file = await Deno.open(path);
      const images: Uint8Array[] = [];
      for (const index of indices) {
        const pixels = new Uint8Array(imageBytes(description));
        await file.seek(index * pixels.length, Deno.SeekMode.Start);
        for (let filled = 0; filled < pixels.length;) {
          const read = await file.read(pixels.subarray(filled));
          if (read === null) throw this.folder.damaged(`${name} ends before its last image`);
          filled += read;
        }
        images.push(await thumbnailOfPixels(pixels, description, maxSide));
      }
      return images;
    });
  }
}
