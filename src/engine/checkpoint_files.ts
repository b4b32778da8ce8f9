import { type Checkpoint, CheckpointError, decodeCheckpoint, encodeCheckpoint } from "../models/mod.ts";
import { type CheckpointInfo, CHECKPOINTS_KEPT, EngineError } from "./messages.ts";

/**
 * Writes a checkpoint so that a reader sees all of it or nothing: to a temporary name, to the disk, then renamed. Older
 * ones past the kept number are deleted.
 */
export async function writeCheckpoint(
  dataDir: string,
  folder: string,
  checkpoint: Checkpoint,
): Promise<CheckpointInfo> {
  const { step, epoch } = checkpoint.position;
  const directory = `${folder}/checkpoints`;
  await Deno.mkdir(`${dataDir}/${directory}`, { recursive: true });
  const path = `${directory}/step-${String(step).padStart(8, "0")}.safetensors`;
  const bytes = encodeCheckpoint(checkpoint);
  const temporary = `${dataDir}/${path}.partial`;
  {
    using file = await Deno.open(temporary, { write: true, create: true, truncate: true });
    let written = 0;
    while (written < bytes.length) written += await file.write(bytes.subarray(written));
    await file.sync();
  }
  await Deno.rename(temporary, `${dataDir}/${path}`);
  await deleteOlder(`${dataDir}/${directory}`);
  return { path, step, epoch, bytes: bytes.length };
}

/**
 * @param path Relative to the data folder.
 * @throws {EngineError} `not-found` or, for a damaged file, `invalid`.
 */
export async function readCheckpoint(dataDir: string, path: string): Promise<Checkpoint> {
  try {
    return decodeCheckpoint(await Deno.readFile(`${dataDir}/${path}`));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw new EngineError("not-found", `Cannot find the checkpoint "${path}"`, { cause: error });
    }
    if (error instanceof Deno.errors.IsADirectory || error instanceof Deno.errors.PermissionDenied) {
      throw new EngineError("invalid", `Cannot read the checkpoint "${path}": it is no readable file`, {
        cause: error,
      });
    }
    if (error instanceof CheckpointError) {
      throw new EngineError("invalid", `Cannot read the checkpoint "${path}": ${error.message}`, { cause: error });
    }
    throw error;
  }
}

async function deleteOlder(directory: string): Promise<void> {
  const names: string[] = [];
  for await (const { name, isFile } of Deno.readDir(directory)) {
    if (isFile && name.endsWith(".safetensors")) names.push(name);
  }
  for (const name of names.sort().slice(0, -CHECKPOINTS_KEPT)) await Deno.remove(`${directory}/${name}`);
}
