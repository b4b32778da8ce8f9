/** Checks of single values; each returns what it was given, or throws an `InvalidFieldError` that names the field. */
import { InvalidFieldError } from "../errors.ts";

export interface Range {
  readonly min: number;
  readonly max: number;
}

/** Images are a dimension of dispatches, which WebGPU lets every adapter end at this size. */
export const BATCH_SIZES: Range = { min: 1, max: 65_535 };

/** An integer in a range, both ends included. */
export function checkInteger(field: string, value: number, { min, max }: Range): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new InvalidFieldError(field, value, `an integer from ${min} to ${max}`);
}

/** A finite number above 0. */
export function checkPositive(field: string, value: number): number {
  if (Number.isFinite(value) && value > 0) return value;
  throw new InvalidFieldError(field, value, "a finite number above 0");
}

/**
 * A number above 0 that kernels can compute with, a normal 32-bit float: past these ends it would be infinite, or taken as
 * 0 and do nothing.
 */
export function checkSingle(field: string, value: number): number {
  if (isSingle(value)) return value;
  throw new InvalidFieldError(field, value, SINGLES);
}

/** 0, or as `checkSingle()`. */
export function checkZeroOrSingle(field: string, value: number): number {
  if (value === 0 || isSingle(value)) return value;
  throw new InvalidFieldError(field, value, `0, or ${SINGLES}`);
}

const SINGLES = "from 1.18e-38 to 3.4e38";

function isSingle(value: number): boolean {
  return value >= 2 ** -126 && value <= (2 - 2 ** -23) * 2 ** 127;
}

/** A number in a range, both ends included. */
export function checkWithin(field: string, value: number, { min, max }: Range): number {
  if (value >= min && value <= max) return value;
  throw new InvalidFieldError(field, value, `from ${min} to ${max}`);
}

/** 0 <= value < 1. */
export function checkFraction(field: string, value: number): number {
  if (value >= 0 && value < 1) return value;
  throw new InvalidFieldError(field, value, "from 0 to below 1");
}

/** 0 < value <= 1. */
export function checkPart(field: string, value: number): number {
  if (value > 0 && value <= 1) return value;
  throw new InvalidFieldError(field, value, "above 0 and at most 1");
}

const nameForm = /^[a-z0-9][a-z0-9-]{0,63}$/;

/** The name of a model or a data set. */
export function checkName(field: string, value: string): string {
  if (nameForm.test(value)) return value;
  throw new InvalidFieldError(field, value, "1 to 64 lower-case letters, digits and hyphens, the first no hyphen");
}

const runForm = /^runs\/([a-z0-9]{1,64})$/;

/** A run's name; returns its id. */
export function checkRunName(field: string, value: string): string {
  const id = runForm.exec(value)?.[1];
  if (id !== undefined) return id;
  throw new InvalidFieldError(field, value, 'a run\'s name, such as "runs/k7tm2xw9ab"');
}

/** A text without control characters. */
export function checkText(field: string, value: string, { min, max }: Range): string {
  if (value.length >= min && value.length <= max && !/\p{Cc}/u.test(value)) return value;
  throw new InvalidFieldError(field, value, `${min} to ${max} characters without control characters`);
}

/** A field `split`. */
export function checkSplit(split: string, fallback: "train" | "test"): "train" | "test" {
  if (split === "") return fallback;
  if (split === "train" || split === "test") return split;
  throw new InvalidFieldError("split", split, '"train" or "test"');
}

/** One of the values of a table by enum number. `names` is for the message. */
export function checkEnum<T>(field: string, value: number, table: Readonly<Record<number, T>>, names: string): T {
  if (value in table) return table[value];
  throw new InvalidFieldError(field, value, names);
}

/**
 * The word for an enum's number; undefined where it was left out. The enum has the field's name, so that the message can
 * name its values: PRECISION_F32 is the `f32` of `precision`.
 */
export function checkChoice<T extends string>(
  field: string,
  value: number,
  numbers: Readonly<Record<T, number>>,
): T | undefined {
  const words = Object.keys(numbers) as T[];
  const prefix = field.slice(field.lastIndexOf(".") + 1);
  const allowed = words.map((word) => `${prefix}_${word}`.toUpperCase() + ` (${numbers[word]})`);
  const table = Object.fromEntries(words.map((word) => [numbers[word], word]));
  return checkEnum<T | undefined>(field, value, { ...table, 0: undefined }, [...allowed, "or left out"].join(", "));
}

/** A message or a choice that has to be there. */
export function checkPresent<T>(field: string, value: T | undefined, allowed: string): T {
  if (value !== undefined) return value;
  throw new InvalidFieldError(field, value, allowed);
}
