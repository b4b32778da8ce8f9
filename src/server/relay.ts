/**
 * A way for a stream's messages past Connect, whose pipeline of asynchronous generators encodes each message for each
 * stream: with 1,000 watchers, that and its garbage were most of what the server did. What many streams are told alike
 * is encoded once here, and written as it is. The call's first message, its end and its errors are Connect's all the same.
 */
import type { Http2ServerRequest } from "node:http2";
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";

export interface Relay {
  /**
   * Writes whole messages once the client has taken those before. To be called after the first message has gone
   * through Connect, with the headers.
   * @param frames of `framesOf()`
   */
  write(frames: Uint8Array): Promise<void>;
}

/** Whether a call's messages are as `framesOf()` writes them. */
export function takesFrames(request: Http2ServerRequest): boolean {
  return /^application\/(grpc|grpc\+proto|grpc-web|grpc-web\+proto|connect\+proto)($|;)/.test(
    request.headers["content-type"] ?? "",
  );
}

/** Bytes before a message: flags (0: not compressed, which is a sender's choice) and its length. */
const prefixBytes = 5;

/** Messages as gRPC, gRPC-Web and Connect have them in streams. */
export function framesOf<D extends DescMessage>(schema: D, messages: readonly MessageInitShape<D>[]): Uint8Array {
  const bodies = messages.map((message) => toBinary(schema, create(schema, message)));
  const frames = new Uint8Array(bodies.reduce((sum, { length }) => sum + prefixBytes + length, 0));
  const view = new DataView(frames.buffer);
  let at = 0;
  for (const body of bodies) {
    view.setUint32(at + 1, body.length);
    frames.set(body, at + prefixBytes);
    at += prefixBytes + body.length;
  }
  return frames;
}

/** Those after the first, which are shared with the argument. */
export function framesAfterFirst(frames: Uint8Array): Uint8Array {
  return frames.subarray(prefixBytes + new DataView(frames.buffer, frames.byteOffset).getUint32(1));
}
