/** The part of `@std/assert` that the tests use, over `node:assert/strict`; the import map points here. */
import nodeAssert from "node:assert/strict";

/** What node:assert throws in place of its own message. */
function failure(message: string | undefined): Error | undefined {
  return message === undefined ? undefined : new nodeAssert.AssertionError({ message });
}

export function assert(condition: unknown, message?: string): asserts condition {
  nodeAssert.ok(condition, failure(message));
}

export function assertEquals<T>(actual: T, expected: T, message?: string): void {
  nodeAssert.deepStrictEqual(actual, expected, failure(message));
}

export function assertAlmostEquals(actual: number, expected: number, tolerance = 1e-7, message?: string): void {
  assert(
    Math.abs(actual - expected) <= tolerance,
    message ?? `Expected ${expected} within ${tolerance}, got ${actual}`,
  );
}

export function assertStringIncludes(actual: string, expected: string, message?: string): void {
  assert(actual.includes(expected), message ?? `Expected "${expected}" in: ${actual}`);
}

export function assertMatch(actual: string, expected: RegExp, message?: string): void {
  nodeAssert.match(actual, expected, failure(message));
}

type ErrorClass<E extends Error> = abstract new (...args: never[]) => E;

function checkError<E extends Error>(error: unknown, errorClass: ErrorClass<E>, messageIncludes: string): E {
  if (!(error instanceof errorClass)) {
    throw new nodeAssert.AssertionError({ message: `Expected ${errorClass.name}, got: ${error}` });
  }
  assertStringIncludes(error.message, messageIncludes);
  return error;
}

export function assertThrows<E extends Error>(
  run: () => unknown,
  errorClass: ErrorClass<E>,
  messageIncludes = "",
): E {
  try {
    run();
  } catch (error) {
    return checkError(error, errorClass, messageIncludes);
  }
  throw new nodeAssert.AssertionError({ message: `Expected ${errorClass.name} to be thrown` });
}

export async function assertRejects<E extends Error>(
  run: () => PromiseLike<unknown>,
  errorClass: ErrorClass<E>,
  messageIncludes = "",
): Promise<E> {
  try {
    await run();
  } catch (error) {
    return checkError(error, errorClass, messageIncludes);
  }
  throw new nodeAssert.AssertionError({ message: `Expected ${errorClass.name} to be thrown` });
}
