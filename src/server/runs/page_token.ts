/** The opaque tokens of ListRuns: where the next page starts. */
import { InvalidFieldError } from "../errors.ts";

const form = /^p1-([0-9a-z]{1,11})$/;

/** @param before number of the last run on the page */
export function encodePageToken(before: number): string {
  return btoa(`p1-${before.toString(36)}`);
}

/**
 * @returns undefined for the empty token: the first page.
 * @throws {InvalidFieldError} the token is none that this server gives.
 */
export function decodePageToken(token: string): number | undefined {
  if (token === "") return undefined;
  const digits = form.exec(decodeBase64(token))?.[1];
  const before = digits === undefined ? NaN : parseInt(digits, 36);
  if (Number.isSafeInteger(before)) return before;
  throw new InvalidFieldError("page_token", token, "the next_page_token of an earlier answer, or empty");
}

function decodeBase64(text: string): string {
  try {
    return atob(text);
  } catch {
    return "";
  }
}
