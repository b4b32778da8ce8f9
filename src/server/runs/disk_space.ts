/** Whether the data folder's disk takes more. */
import { statfsSync } from "node:fs";
import { join } from "node:path";

export class DiskSpace {
  /**
   * @param folder the data folder
   * @param minFree bytes to be kept free; 0: as much as there is may be used
   */
  constructor(private readonly folder: string, private readonly minFree: number) {}

  /** Why nothing more should be written, in a sentence for users; undefined: there is room. */
  shortage(): string | undefined {
    if (this.minFree === 0) return undefined;
    const free = this.free();
    if (free >= this.minFree) return undefined;
    return `The server's disk has ${inMebibytes(free)} free, less than the ${inMebibytes(this.minFree)} to be kept so`;
  }

  /** Why so many bytes more should not be written, as the rest of a sentence; undefined: they may be. */
  shortageFor(bytes: number): string | undefined {
    const free = this.free();
    if (free - bytes >= this.minFree) return undefined;
    return `the server's disk has ${inMebibytes(free)} free, of which ${inMebibytes(this.minFree)} are to be kept so`;
  }

  /** Whether there is room again after a shortage: some more than the least, and a file can be written. */
  hasRoom(): boolean {
    return this.free() >= this.minFree * 1.25 && this.takesFile();
  }

  private free(): number {
    const { bavail, bsize } = statfsSync(this.folder);
    return bavail * bsize;
  }

  /** Where runs are kept: as much as the database's next page needs, or more. */
  private takesFile(): boolean {
    const path = join(this.folder, "runs", ".room");
    try {
      Deno.mkdirSync(join(this.folder, "runs"), { recursive: true });
      Deno.writeFileSync(path, new Uint8Array(64 * 1024));
      return true;
    } catch {
      return false;
    } finally {
      removeIfThere(path);
    }
  }
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // The disk may take no change at all.
  }
}

function inMebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(bytes < 2 ** 20 * 10 ? 1 : 0)} MiB`;
}
