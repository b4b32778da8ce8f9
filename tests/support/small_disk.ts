/** File systems of a few megabytes, for tests of full and read-only disks: only root may mount them. */
import { join } from "node:path";
import { statfsSync } from "node:fs";

/** Why there can be none here; undefined: there can. */
export function smallDiskProblem(): string | undefined {
  if (Deno.build.os !== "linux") return "tmpfs is Linux's";
  if (Deno.uid() !== 0) return "only root may mount";
  const folder = Deno.makeTempDirSync();
  try {
    run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder);
    run("umount", folder);
    return undefined;
  } catch {
    return "mounting is not allowed here";
  } finally {
    Deno.removeSync(folder);
  }
}

export class SmallDisk implements Disposable {
  readonly folder = Deno.makeTempDirSync();
  private readonly filler = join(this.folder, "filler");

  constructor(readonly mebibytes: number) {
    run("mount", "-t", "tmpfs", "-o", `size=${mebibytes}m`, "tmpfs", this.folder);
  }

  /** Leaves so many bytes free, to the page. */
  fill(left: number): void {
    const { bavail, bsize } = statfsSync(this.folder);
    using file = Deno.openSync(this.filler, { create: true, append: true });
    const block = new Uint8Array(bsize);
    for (let free = bavail * bsize; free - bsize >= left; free -= bsize) file.writeSync(block);
  }

  empty(): void {
    Deno.removeSync(this.filler);
  }

  [Symbol.dispose](): void {
    run("umount", this.folder);
    Deno.removeSync(this.folder);
  }
}

/** Covers a folder by a view of itself that cannot be written: files opened from now on are read-only. */
export function makeReadOnly(folder: string): Disposable {
  run("mount", "--bind", folder, folder);
  run("mount", "-o", "remount,bind,ro", folder);
  return { [Symbol.dispose]: () => run("umount", folder) };
}

function run(command: string, ...args: string[]): void {
  const { success, stderr } = new Deno.Command(command, { args }).outputSync();
  if (!success) throw new Error(`${command} failed: ${new TextDecoder().decode(stderr)}`);
}
