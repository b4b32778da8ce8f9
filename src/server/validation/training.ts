/** Requests of TrainingService, but for the configuration of a run. */
import type { ListRunsRequest, WatchRunRequest } from "../../gen/mod.ts";
import { decodePageToken } from "../runs/page_token.ts";
import { checkInteger, checkRunName, checkText } from "./fields.ts";

/** @returns undefined: none was given. @throws {InvalidFieldError} */
export function checkRequestId(value: string): string | undefined {
  return value === "" ? undefined : checkText("request_id", value, { min: 1, max: 128 });
}

/** @throws {InvalidFieldError} */
export function checkListRuns(request: ListRunsRequest): { limit: number; before?: number } {
  return {
    limit: checkInteger("page_size", request.pageSize, { min: 0, max: 1000 }) || 50,
    before: decodePageToken(request.pageToken),
  };
}

/** @throws {InvalidFieldError} */
export function checkWatchRun(request: WatchRunRequest): { id: string; after: number } {
  return { id: checkRunName("name", request.name), after: request.afterSequence };
}
