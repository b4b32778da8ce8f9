import { createHash } from "node:crypto";
import { join } from "node:path";
import { asStorageError, DatasetError } from "../errors.ts";
import { safeFileName, type TransferLimits, TransferMeter, type TransferredSource } from "./transferred_source.ts";

export interface ReceivedFile {
  /** As its sender calls it. */
  readonly name: string;
  readonly bytes: number;
  /** Hexadecimal. Undefined: not looked at. */
  readonly sha256?: string;
  /** The content, in order. */
  readonly chunks: AsyncIterable<Uint8Array>;
}

/** One file that a client sends. Nothing of it is taken before it is asked for, and nothing kept of one cut short. */
export function receivedFile({ name, bytes, sha256, chunks }: ReceivedFile, limits: TransferLimits): TransferredSource {
  const title = `Cannot take ${safeFileName(name)}`;
  const refuse = (problem: string) => new DatasetError("invalid", `${title}: ${problem}`);
  return {
    async bring(folder, { signal, onBytes }) {
      const meter = new TransferMeter(title, limits);
      meter.announce(bytes);
      const path = join(folder, safeFileName(name));
      const hash = createHash("sha256");
      let done = 0;
      await storing(title, async () => {
        using file = await Deno.open(path, { write: true, createNew: true });
        for await (const chunk of chunks) {
          signal.throwIfAborted();
          done += chunk.length;
          if (done > bytes) throw refuse(`more came than the ${bytes} bytes that were announced`);
          meter.reach(done);
          hash.update(chunk);
          for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
          onBytes?.(done, bytes);
        }
      });
      signal.throwIfAborted();
      if (done < bytes) throw refuse(`${done} bytes came, ${bytes} were announced`);
      const found = hash.digest("hex");
      if (sha256 === undefined || found === sha256.toLowerCase()) return path;
      throw refuse(`its SHA-256 is ${found}, not ${sha256.toLowerCase()}`);
    },
  };
}

async function storing(title: string, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    throw asStorageError(error, title);
  }
}
