/** Waiting for what comes about by itself. */
import { AssertionError } from "node:assert";

/** @throws {AssertionError} when it has not come about in time */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what = "it",
  seconds = 10,
): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (!await condition()) {
    if (performance.now() > end) throw new AssertionError({ message: `${what} did not come about in ${seconds} s` });
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
