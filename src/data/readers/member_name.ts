import { DatasetError } from "../errors.ts";

/** @throws {DatasetError} where a member of an archive names a place outside the archive's own folder */
export function checkMemberName(name: string): void {
  if (/^([/\\]|[A-Za-z]:)/.test(name) || name.split(/[/\\]/).includes("..")) {
    throw new DatasetError("invalid", `Archive has a member outside its folder: ${JSON.stringify(name.slice(0, 200))}`);
  }
}
