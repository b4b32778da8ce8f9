/** ExportModel's request. */
import { CheckpointChoice, type ExportModelRequest } from "../../gen/mod.ts";
import { InvalidFieldError } from "../errors.ts";
import { checkEnum, checkInteger, checkRunName, checkText } from "./fields.ts";

export interface ExportOrder {
  readonly id: string;
  readonly which: { readonly kind: "newest" | "best" } | { readonly kind: "path"; readonly path: string };
  readonly optimizerState: boolean;
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
  const { name, which, optimizerState, offset, limit } = request;
  return {
    id: checkRunName("name", name),
    which: checkWhich(which),
    optimizerState,
    offset: checkOffset(offset),
    limit: checkInteger("limit", limit, { min: 0, max: mostBytes }) || mostBytes,
  };
}

function checkWhich(which: ExportModelRequest["which"]): ExportOrder["which"] {
  if (which.case === "path") return { kind: "path", path: checkText("path", which.value, { min: 1, max: 4096 }) };
  const allowed = "CHECKPOINT_CHOICE_NEWEST (1), CHECKPOINT_CHOICE_BEST (2), or left out";
  return { kind: checkEnum("choice", which.value ?? CheckpointChoice.UNSPECIFIED, choices, allowed) };
}

function checkOffset(offset: bigint): number {
  if (offset <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(offset);
  throw new InvalidFieldError("offset", offset, `an integer from 0 to ${Number.MAX_SAFE_INTEGER}`);
}
