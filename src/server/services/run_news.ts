/** What those who watch a run are told: the first message as any call's, the rest through the relay where there is one. */
import { WatchRunResponseSchema } from "../../gen/mod.ts";
import { toFeedItem } from "../convert/run.ts";
import { framesAfterFirst, framesOf, type Relay } from "../relay.ts";
import { type FeedNews, itemsOf } from "../runs/run_feed.ts";

/** TrainResponse and WatchRunResponse are alike, field by field. */
type Message = ReturnType<typeof toFeedItem>;

/** Of what several watchers are told; it lives as long as the log's readers keep it. */
const encoded = new WeakMap<FeedNews, Uint8Array>();

export async function* tell(news: AsyncIterable<FeedNews>, relay: Relay | undefined): AsyncGenerator<Message> {
  let hasBegun = false;
  for await (const part of news) {
    if (!relay) {
      yield* messagesOf(part);
    } else if (hasBegun) {
      await relay.write(encode(part));
    } else {
      hasBegun = true;
      yield messagesOf(part)[0];
      const others = framesAfterFirst(encode(part));
      if (others.length > 0) await relay.write(others);
    }
  }
}

function encode(news: FeedNews): Uint8Array {
  const known = encoded.get(news);
  if (known) return known;
  const frames = framesOf(WatchRunResponseSchema, messagesOf(news));
  encoded.set(news, frames);
  return frames;
}

function messagesOf(news: FeedNews): Message[] {
  return [...itemsOf(news)].map(toFeedItem);
}
