/** The opaque tokens of pages: where the next one starts. */
import { InvalidFieldError } from "../errors.ts";
import type { PagePosition } from "./event_pages.ts";

/** @param before number of the last run on the page */
export function encodePageToken(before: number): string {
  return encode("p1", [before]);
}

/**
 * @returns undefined for the empty token: the first page.
 * @throws {InvalidFieldError} the token is none that ListRuns gives.
 */
export function decodePageToken(token: string): number | undefined {
  return decode("p1", token, 1)?.[0];
}

export function encodeEventsToken({ after, last, width, earliest }: PagePosition): string {
  return encode("e1", [after, last, width, earliest]);
}

/**
 * @returns undefined for the empty token: the first page.
 * @throws {InvalidFieldError} the token is none that ListRunEvents gives.
 */
export function decodeEventsToken(token: string): PagePosition | undefined {
  const numbers = decode("e1", token, 4);
  if (!numbers) return undefined;
  const [after, last, width, earliest] = numbers;
  return { after, last, width, earliest };
}

function encode(kind: string, numbers: readonly number[]): string {
  return btoa([kind, ...numbers.map((number) => number.toString(36))].join("-"));
}

function decode(kind: string, token: string, length: number): number[] | undefined {
  if (token === "") return undefined;
  const [name, ...digits] = decodeBase64(token).split("-");
  const numbers = digits.map((text) => /^[0-9a-z]{1,11}$/.test(text) ? parseInt(text, 36) : NaN);
  if (name === kind && numbers.length === length && numbers.every(Number.isSafeInteger)) return numbers;
  throw new InvalidFieldError("page_token", token, "the next_page_token of an earlier answer, or empty");
}

function decodeBase64(text: string): string {
  try {
    return atob(text);
  } catch {
    return "";
  }
}
