/**
 * Maps the items of a stream, several at a time, and gives each result when it is ready: in whatever order.
 * At most `limit` items are between being read and being taken as results, so a slow consumer stops the reading.
 * @param map must not throw
 * @throws what `items` throws, after the results of the items before.
 */
export async function* concurrentMap<T, R>(
  items: AsyncIterable<T>,
  limit: number,
  map: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const ready: R[] = [];
  let held = 0;
  let ended = false;
  let left = false;
  let failure: { readonly error: unknown } | undefined;
  let news = Promise.withResolvers<void>();
  let room = Promise.withResolvers<void>();

  const read = async () => {
    for await (const item of items) {
      if (left) return;
      held++;
      map(item).then((result) => {
        ready.push(result);
        news.resolve();
      });
      while (held >= limit && !left) {
        room = Promise.withResolvers();
        await room.promise;
      }
    }
  };
  read().catch((error) => failure = { error }).finally(() => {
    ended = true;
    news.resolve();
  });

  try {
    while (true) {
      for (let result = ready.shift(); result !== undefined; result = ready.shift()) {
        yield result;
        held--;
        room.resolve();
      }
      if (ended && held === 0) break;
      await news.promise;
      news = Promise.withResolvers();
    }
    if (failure) throw failure.error;
  } finally {
    left = true;
    room.resolve();
  }
}
