/** The declarative layer over `node:util`'s parseArgs: a command lists its options and arguments, this reads them. */
import { parseArgs } from "node:util";
import { UsageError } from "./errors.ts";
import type { ValueKind } from "./values.ts";

/** One option of a command. `T` is what the command gets. */
export interface Option<T> {
  readonly help: string;
  /** How the value is written; absent for a flag. */
  readonly placeholder?: string;
  readonly required: boolean;
  /** What help says of the default, if anything. */
  readonly defaultText?: string;
  /** What the command gets where the option is not given. */
  readonly absent: T | undefined;
  read(text: string): T;
}

export type Options = Readonly<Record<string, Option<unknown>>>;

export type OptionValues<O extends Options> = { readonly [K in keyof O]: O[K] extends Option<infer T> ? T : never };

/** The arguments of a command that are not options. */
export interface Positionals {
  /** Stands for one in help: "RUN". */
  readonly placeholder: string;
  readonly minimum: number;
  /** Infinity: as many as one likes. */
  readonly maximum: number;
}

export interface Invocation<O extends Options> {
  readonly values: OptionValues<O>;
  readonly positionals: readonly string[];
}

/** What a command takes: its own options, those that it shares with others, and arguments. */
export interface Grammar<O extends Options, C extends Options> {
  readonly options: O;
  readonly common: C;
  readonly positionals: Positionals;
}

export function flag(help: string): Option<boolean> {
  return { help, required: false, absent: false, read: () => true };
}

export function optional<V>(kind: ValueKind<V>, help: string): Option<V | undefined> {
  return { help, placeholder: kind.placeholder, required: false, absent: undefined, read: kind.read };
}

export function required<V>(kind: ValueKind<V>, help: string): Option<V> {
  return { help, placeholder: kind.placeholder, required: true, absent: undefined, read: kind.read };
}

/** An option with a default; `fallback` is text as a user would type it. */
export function defaulting<V>(kind: ValueKind<V>, fallback: string, help: string): Option<V> {
  return {
    help,
    placeholder: kind.placeholder,
    required: false,
    defaultText: fallback,
    absent: kind.read(fallback),
    read: kind.read,
  };
}

/**
 * Reads a command's arguments.
 * @throws {UsageError} for an unknown option, a value that does not fit, or too few or many arguments
 */
export function readInvocation<O extends Options, C extends Options>(
  args: readonly string[],
  { options, common, positionals }: Grammar<O, C>,
): Invocation<O> & { readonly common: OptionValues<C> } {
  const all: Options = { ...options, ...common };
  // parseArgs splits; the checks are ours, so that messages name what would be right.
  const { tokens } = parseArgs({
    args: [...args],
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: Object.fromEntries(
      Object.entries(all).map(([name, option]) => [name, { type: isFlag(option) ? "boolean" : "string" }]),
    ),
  });
  const given = new Map<string, unknown>();
  const rest: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") rest.push(token.value);
    if (token.kind === "option") given.set(token.name, readOption(token, all));
  }
  const missing = Object.entries(all).find(([name, option]) => option.required && !given.has(name));
  if (missing !== undefined) {
    throw new UsageError(`Option --${missing[0]} ${missing[1].placeholder} is missing`);
  }
  checkPositionals(rest, positionals);
  return { values: valuesOf(options, given), common: valuesOf(common, given), positionals: rest };
}

function valuesOf<O extends Options>(options: O, given: ReadonlyMap<string, unknown>): OptionValues<O> {
  return Object.fromEntries(
    Object.entries(options).map(([name, option]) => [name, given.has(name) ? given.get(name) : option.absent]),
  ) as OptionValues<O>;
}

interface OptionToken {
  readonly name: string;
  readonly rawName: string;
  readonly value: string | undefined;
  readonly inlineValue: boolean | undefined;
}

function readOption(token: OptionToken, options: Options): unknown {
  const option = Object.hasOwn(options, token.name) ? options[token.name] : undefined;
  if (option === undefined) {
    const near = nearest(token.name, Object.keys(options));
    throw new UsageError(`Unknown option ${token.rawName}${near === undefined ? "" : `: did you mean --${near}`}`);
  }
  if (isFlag(option)) {
    if (token.inlineValue) throw new UsageError(`Option --${token.name} takes no value, not "${token.value}"`);
    return true;
  }
  if (token.value === undefined || (!token.inlineValue && token.value.startsWith("--"))) {
    throw new UsageError(`Option --${token.name} needs a value: --${token.name} ${option.placeholder}`);
  }
  try {
    return option.read(token.value);
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`Option --${token.name} ${error.message}`);
    throw error;
  }
}

function isFlag(option: Option<unknown>): boolean {
  return option.placeholder === undefined;
}

function checkPositionals(given: readonly string[], { placeholder, minimum, maximum }: Positionals): void {
  if (given.length < minimum) throw new UsageError(`Argument ${placeholder} is missing`);
  if (given.length > maximum) {
    throw new UsageError(`Unexpected argument "${given[maximum]}"`);
  }
}

/** The candidate that a misspelt word most likely means; undefined where none is close. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const scored = candidates
    .map((candidate) => ({ candidate, distance: editDistance(word, candidate) }))
    .sort((a, b) => a.distance - b.distance);
  const [best] = scored;
  // Two letters that changed places are a distance of 2.
  const farthest = word.length < 4 ? 1 : Math.max(2, Math.floor(word.length / 3));
  return best !== undefined && best.distance <= farthest ? best.candidate : undefined;
}

/** Insertions, deletions and replacements between two words (Levenshtein 1966). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length];
}
