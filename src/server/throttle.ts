/** Bounds the rate of progress: a client that does not read would make the server keep every message. */

/**
 * Passes items on, but of the droppable ones at most one an interval.
 * @param interval in milliseconds
 */
export async function* throttle<T>(
  items: AsyncIterable<T>,
  options: { readonly interval: number; isDroppable(item: T): boolean },
): AsyncGenerator<T> {
  let lastPassed = -Infinity;
  for await (const item of items) {
    if (options.isDroppable(item)) {
      const now = performance.now();
      if (now - lastPassed < options.interval) continue;
      lastPassed = now;
    }
    yield item;
  }
}
