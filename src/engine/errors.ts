import { DatasetError, UnknownDatasetError } from "../data/mod.ts";
import { GpuError, MemoryLimitError, ShapeError } from "../gpu/mod.ts";
import { CheckpointError, DamagedCheckpointError, ModelError } from "../models/mod.ts";
import { EngineError, type EngineErrorKind } from "./messages.ts";

/** The one place where errors of data/, models/ and gpu/ become the engine's. */
export function toEngineError(error: unknown): EngineError {
  if (error instanceof EngineError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const kind = kindOf(error);
  const isOurs = kind !== "internal" || error instanceof GpuError;
  return new EngineError(kind, isOurs ? message : withoutPaths(message), { cause: error });
}

/** Deno's errors name the files of this machine, and an engine's error reaches clients. */
function withoutPaths(message: string): string {
  return message
    .replace(/(["'`])(?:file:\/\/)?\/.*?\1/g, "a file of the server")
    .replace(/(?:file:\/\/)?(?<![\w.])\/[\w.@~-]+\/[^\s,;:)'"]*/g, "a file of the server");
}

function kindOf(error: unknown): EngineErrorKind {
  if (error instanceof UnknownDatasetError) return "not-found";
  if (error instanceof ModelError || error instanceof ShapeError) return "invalid";
  if (error instanceof DamagedCheckpointError) return "damaged";
  if (error instanceof DatasetError || error instanceof CheckpointError) return "invalid";
  if (error instanceof MemoryLimitError) return "exhausted";
  if (error instanceof GpuError) {
    if (error.failure === "unavailable" || error.failure === "unsupported") return error.failure;
    return "fault";
  }
  return "internal";
}
