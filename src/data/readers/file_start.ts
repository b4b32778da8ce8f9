import { basename } from "node:path";
import { ofSource } from "./source_tree.ts";

/** Enough to tell what a file is: a tar archive's first header has so many bytes. */
const START_BYTES = 512;

/** The first bytes of a file, fewer where it is shorter. @throws {DatasetError} */
export async function readStart(path: string): Promise<Uint8Array> {
  return await ofSource(basename(path), async () => {
    using file = await Deno.open(path);
    const start = new Uint8Array(START_BYTES);
    let filled = 0;
    while (filled < start.length) {
      const read = await file.read(start.subarray(filled));
      if (read === null) break;
      filled += read;
    }
    return start.subarray(0, filled);
  });
}
