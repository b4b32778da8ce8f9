/** The one place where errors become gRPC statuses. */
import { Code, ConnectError } from "@connectrpc/connect";
import { DatasetError, type DatasetErrorKind, ImageError, UnknownDatasetError } from "../data/mod.ts";
import { EngineError, type EngineErrorKind } from "../engine/mod.ts";
import { CheckpointError, ModelError } from "../models/mod.ts";
import { RequestError, type RequestErrorKind } from "./errors.ts";
import { StorageError } from "./runs/storage_error.ts";

const requestCodes: Readonly<Record<RequestErrorKind, Code>> = {
  "invalid-argument": Code.InvalidArgument,
  "not-found": Code.NotFound,
  "already-exists": Code.AlreadyExists,
  "permission-denied": Code.PermissionDenied,
  "failed-precondition": Code.FailedPrecondition,
  "out-of-range": Code.OutOfRange,
  "resource-exhausted": Code.ResourceExhausted,
  "unavailable": Code.Unavailable,
};

const engineCodes: Readonly<Record<EngineErrorKind, Code>> = {
  "invalid": Code.InvalidArgument,
  "not-found": Code.NotFound,
  "damaged": Code.DataLoss,
  "exists": Code.AlreadyExists,
  "exhausted": Code.ResourceExhausted,
  "unavailable": Code.Unavailable,
  "fault": Code.Unavailable,
  "unsupported": Code.FailedPrecondition,
  "diverged": Code.FailedPrecondition,
  "storage": Code.ResourceExhausted,
  "internal": Code.Internal,
};

const datasetCodes: Readonly<Record<DatasetErrorKind, Code>> = {
  "invalid": Code.InvalidArgument,
  "exists": Code.AlreadyExists,
  "damaged": Code.FailedPrecondition,
  "storage": Code.FailedPrecondition,
  "unavailable": Code.Unavailable,
};

/**
 * The status for an error of any folder, with the original as its cause. Errors made on purpose keep their text;
 * any other is INTERNAL with a general one, since its own may name paths.
 */
export function toConnectError(error: unknown): ConnectError {
  if (error instanceof ConnectError) return error;
  const code = codeOf(error);
  if (code === undefined || !(error instanceof Error)) {
    return new ConnectError("An internal error; the server's log has it", Code.Internal, undefined, undefined, error);
  }
  return new ConnectError(error.message, code, undefined, undefined, error);
}

/**
 * Whether who runs the server has to know of it. A status of such a code without a cause is Connect's own, for a
 * request that breaks the protocol.
 */
export function isFault({ code, cause }: ConnectError): boolean {
  return cause !== undefined && (code === Code.Internal || code === Code.Unknown || code === Code.DataLoss);
}

/** Undefined: nobody made it on purpose. */
function codeOf(error: unknown): Code | undefined {
  if (error instanceof RequestError) return requestCodes[error.kind];
  if (error instanceof EngineError) return engineCodes[error.kind];
  if (error instanceof DatasetError) return datasetCodes[error.kind];
  if (error instanceof StorageError) return Code.ResourceExhausted;
  if (error instanceof UnknownDatasetError) return Code.NotFound;
  if (error instanceof ModelError || error instanceof ImageError) return Code.InvalidArgument;
  if (error instanceof CheckpointError) return Code.FailedPrecondition;
  if (error instanceof DOMException && error.name === "AbortError") return Code.Canceled;
  return undefined;
}
