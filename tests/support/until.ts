/** Waiting for what comes about by itself. */
import { AssertionError } from "node:assert";

/** @throws {AssertionError} when it has not come about in 10 seconds */
export async function until(condition: () => boolean | Promise<boolean>, what = "it"): Promise<void> {
  const end = performance.now() + 10_000;
  while (!await condition()) {
    if (performance.now() > end) throw new AssertionError({ message: `${what} did not come about in 10 s` });
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
