import { type Checkpoint, CheckpointError, decodeCheckpoint, encodeCheckpoint } from "../models/mod.ts";
import { type CheckpointInfo, EngineError } from "./messages.ts";

/**
 * Writes a checkpoint so that a reader sees all of it or nothing: to a temporary name, to the disk, then renamed. Older
 * ones past the kept number are deleted.
 */
export async function writeCheckpoint(
  dataDir: string,
  folder: string,
  checkpoint: Checkpoint,
  keep: number,
): Promise<{ readonly checkpoint: CheckpointInfo; readonly kept: readonly string[] }> {
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
  const kept = (await deleteOlder(`${dataDir}/${directory}`, keep)).map((name) => `${directory}/${name}`);
  return { checkpoint: { path, step, epoch, bytes: bytes.length }, kept };
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

/** The names left, oldest first. */
async function deleteOlder(directory: string, keep: number): Promise<string[]> {
  const names: string[] = [];
  for await (const { name, isFile } of Deno.readDir(directory)) {
    if (isFile && name.endsWith(".safetensors")) names.push(name);
  }
  for (const name of names.sort().slice(0, -keep)) await Deno.remove(`${directory}/${name}`);
  return names.slice(-keep);
}
