/** One worker at a time for a data folder: that of a server which was killed may still be at work for a moment. */
import { EngineError } from "./messages.ts";

const PATIENCE_MS = 30_000;
const POLL_MS = 20;

/**
 * Holds the data folder's engine lock, which the operating system frees when the process ends, however that happens.
 * @throws {EngineError} `unavailable` when another worker has it for too long.
 */
export async function holdEngineLock(dataDir: string, patience = PATIENCE_MS): Promise<Disposable> {
  await Deno.mkdir(dataDir, { recursive: true });
  const file = await Deno.open(`${dataDir}/engine.lock`, { read: true, write: true, create: true });
  const end = performance.now() + patience;
  while (!await file.tryLock(true)) {
    if (performance.now() > end) {
      const holder = new TextDecoder().decode(await readStart(file)).trim();
      file.close();
      throw new EngineError(
        "unavailable",
        `The data folder is in use by the engine of another server, process ${holder || "unknown"}; end it`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  await file.truncate();
  await file.write(new TextEncoder().encode(`${Deno.pid}\n`));
  return file;
}

async function readStart(file: Deno.FsFile): Promise<Uint8Array> {
  const bytes = new Uint8Array(32);
  return bytes.subarray(0, await file.read(bytes) ?? 0);
}
