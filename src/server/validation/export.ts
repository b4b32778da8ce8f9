/** ExportModel's request. */
import { CheckpointChoice, ExportFormat, type ExportModelRequest } from "../../gen/mod.ts";
import { InvalidFieldError } from "../errors.ts";
import type { ExportJob } from "../../engine/mod.ts";
import { checkEnum, checkInteger, checkRunName, checkText } from "./fields.ts";

export interface ExportOrder extends PieceOrder {
  readonly source:
    | { readonly kind: "run"; readonly id: string; readonly which: WhichCheckpoint }
    /** Path not yet known to be one of an imported model. */
    | { readonly kind: "imported"; readonly path: string };
}

export type WhichCheckpoint =
  | { readonly kind: "newest" | "best" }
  | { readonly kind: "path"; readonly path: string };

/** What is read, and which piece of it. */
export interface PieceOrder {
  readonly optimizerState: boolean;
  readonly format: NonNullable<ExportJob["format"]>;
  readonly offset: number;
  readonly limit: number;
}

const mostBytes = 2 ** 20;

const choices = {
  [CheckpointChoice.UNSPECIFIED]: "newest",
  [CheckpointChoice.NEWEST]: "newest",
  [CheckpointChoice.BEST]: "best",
} as const;

/** @throws {InvalidFieldError} */
export function checkExportModel(request: ExportModelRequest): ExportOrder {
  const { name, offset, limit } = request;
  const which = checkWhich(request.which);
  return {
    source: name === "" && which.kind === "path"
      ? { kind: "imported", path: which.path }
      : { kind: "run", id: checkRunName("name", name), which },
    ...checkContent(request),
    offset: checkOffset(offset),
    limit: checkInteger("limit", limit, { min: 0, max: mostBytes }) || mostBytes,
  };
}

const formats = {
  [ExportFormat.UNSPECIFIED]: "checkpoint",
  [ExportFormat.CHECKPOINT]: "checkpoint",
  [ExportFormat.PYTORCH]: "pytorch",
} as const;

function checkContent({ format: number, optimizerState }: ExportModelRequest) {
  const allowed = "EXPORT_FORMAT_CHECKPOINT (1), EXPORT_FORMAT_PYTORCH (2), or left out";
  const format = checkEnum("format", number, formats, allowed);
  if (format === "pytorch" && optimizerState) {
    throw new InvalidFieldError("optimizer_state", optimizerState, "false with EXPORT_FORMAT_PYTORCH");
  }
  return { format, optimizerState };
}

function checkWhich(which: ExportModelRequest["which"]): WhichCheckpoint {
  if (which.case === "path") return { kind: "path", path: checkText("path", which.value, { min: 1, max: 4096 }) };
  const allowed = "CHECKPOINT_CHOICE_NEWEST (1), CHECKPOINT_CHOICE_BEST (2), or left out";
  return { kind: checkEnum("choice", which.value ?? CheckpointChoice.UNSPECIFIED, choices, allowed) };
}

function checkOffset(offset: bigint): number {
  if (offset <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(offset);
  throw new InvalidFieldError("offset", offset, `an integer from 0 to ${Number.MAX_SAFE_INTEGER}`);
}
