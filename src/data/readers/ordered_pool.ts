/**
 * Runs a task an item, so many at once, and gives the results in the items' order.
 *
 * A caller that stops early waits for what is under way.
 */
export async function* mapInOrder<I, O>(
  items: Iterable<I>,
  run: (item: I) => Promise<O>,
  { concurrency }: { readonly concurrency: number },
): AsyncGenerator<O> {
  const underWay: Promise<O>[] = [];
  try {
    for (const item of items) {
      const task = run(item);
      // A failure counts when its turn comes; until then it is not an unhandled one.
      task.catch(() => {});
      underWay.push(task);
      if (underWay.length >= concurrency) yield await takeFirst(underWay);
    }
    while (underWay.length > 0) yield await takeFirst(underWay);
  } finally {
    await Promise.allSettled(underWay);
  }
}

function takeFirst<O>(queue: Promise<O>[]): Promise<O> {
  const [first] = queue.splice(0, 1);
  return first;
}
