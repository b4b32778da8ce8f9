/**
 * HTTP/2 requests to RPC handlers: what connectNodeAdapter() does, with limits, tokens, back-pressure, and texts that
 * every client can read.
 */
import { constants, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import {
  Code,
  ConnectError,
  type ConnectRouter,
  type ConnectRouterOptions,
  createConnectRouter,
  createContextValues,
} from "@connectrpc/connect";
import { compressionBrotli, compressionGzip, universalRequestFromNodeRequest } from "@connectrpc/connect-node";
import type { UniversalHandler, UniversalServerResponse } from "@connectrpc/connect/protocol";
import type { Admission, Admitted } from "./admission.ts";
import { type Call, callKey, statusName } from "./call.ts";
import type { Connections } from "./connections/connections.ts";
import { dropFarDeadline } from "./far_deadline.ts";
import { encodeGrpcMessage } from "./grpc_message.ts";
import type { Limits } from "./limits.ts";
import type { Log } from "./log.ts";
import { isGrpc, refuse } from "./refusal.ts";
import { takesFrames } from "./relay.ts";
import { requestIdHeader, requestIdOf } from "./request_id.ts";
import { sendResponse } from "./response_writer.ts";
import { timely } from "./timely_body.ts";

/** Milliseconds that a client has to end its request after the answer. */
const unreadPatience = 1_000;

export type RequestHandler = (request: Http2ServerRequest, response: Http2ServerResponse) => void;

export interface RequestHandlerParts {
  readonly routes: (router: ConnectRouter) => void;
  /** Interceptors, and limits that Connect sees to. */
  readonly router: ConnectRouterOptions;
  readonly limits: Limits;
  readonly connections: Connections;
  readonly admission: Admission;
  readonly log: Log;
  /** Told of every call that reached a handler when it has ended, and of every other request when it is refused. */
  onEnd(call: Call): void;
}

export function createRequestHandler(parts: RequestHandlerParts): RequestHandler {
  const router = createConnectRouter({ acceptCompression: [compressionGzip, compressionBrotli], ...parts.router });
  parts.routes(router);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  return (request, response) => {
    // A stream that fails has nobody else who listens, and would end the process.
    request.stream.on("error", () => {});
    if (request.stream.destroyed) return;
    const requestId = requestIdOf(request.headers[requestIdHeader]);
    response.setHeader(requestIdHeader, requestId);
    const path = request.url.split("?", 1)[0];
    const handler = handlers.get(path);
    const arrived = { requestId, method: handler?.requestPath ?? "unknown", began: performance.now(), work: [] };
    closeUnread(request);
    try {
      if (!handler) throw unknownMethod(path);
      assertAddressed(request);
      const connection = request.stream.session && parts.connections.of(request.stream.session);
      const admitted = parts.admission.enter(request, handler.method, connection);
      const call: Call = { ...arrived, client: admitted.client };
      serve(handler, { request, response, call, admitted, parts });
    } catch (error) {
      const status = ConnectError.from(error);
      refuse(request, response, status);
      parts.onEnd({ ...arrived, status: statusName(status.code) });
    }
  };
}

interface Exchange {
  readonly request: Http2ServerRequest;
  readonly response: Http2ServerResponse;
  readonly call: Call;
  readonly admitted: Admitted;
  readonly parts: RequestHandlerParts;
}

/** Never throws. */
async function serve(handler: UniversalHandler, exchange: Exchange): Promise<void> {
  const { request, response, call, admitted, parts } = exchange;
  const { stream } = request;
  const closed = new Promise<void>((resolve) => stream.once("close", resolve));
  try {
    const contextValues = createContextValues().set(callKey, call);
    const arriving = universalRequestFromNodeRequest(request, response, undefined, contextValues);
    dropFarDeadline(arriving.header);
    const body = timely(request, { timeout: parts.limits.requestTimeout, stream: takesStream(handler) });
    const outflow = stream.session && parts.connections.of(stream.session)?.outflow;
    const patience = parts.limits.stallTimeout;
    if (outflow && takesFrames(request)) {
      call.relay = {
        async write(frames) {
          if (!await outflow.writeInTurn(response, frames, patience)) closeStalled(exchange);
        },
      };
    }
    const answer = await handler({ ...arriving, body });
    const taken = await sendResponse(readable(answer, request), response, { outflow, patience });
    if (!taken) closeStalled(exchange);
    call.status = statusOf(answer, request) ?? call.status;
  } catch (error) {
    call.status ??= statusName(Code.Canceled);
    // Else the client is gone; the call itself has told the interceptor.
    if (!stream.destroyed) {
      parts.log.error("answer could not be sent", error, { request_id: call.requestId, method: call.method });
      stream.destroy();
    }
  } finally {
    parts.onEnd(call);
    await closed;
    await Promise.allSettled(call.work);
    admitted.leave();
  }
}

function closeStalled({ request, call, parts }: Exchange): void {
  parts.log.warn("client reads nothing", { request_id: call.requestId, method: call.method });
  request.stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
}

function takesStream({ method }: UniversalHandler): boolean {
  return method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming";
}

/** After the answer, a client that does not end its request has its stream closed. */
function closeUnread({ stream }: Http2ServerRequest): void {
  // The response's own "finish" comes with the stream's end, which an unread request holds back.
  stream.once("finish", () => {
    if (stream.destroyed) return;
    stream.resume();
    const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), unreadPatience);
    stream.once("close", () => clearTimeout(timer));
  });
}

/** Connect escapes more of a status's text than gRPC says, and some clients show `runs%2Fx` then. */
function readable(answer: UniversalServerResponse, request: Http2ServerRequest): UniversalServerResponse {
  if (!isGrpc(request) || !answer.body || !answer.trailer) return answer;
  const { body, trailer } = answer;
  async function* thenTrailer() {
    yield* body;
    const message = trailer.get("grpc-message");
    if (message !== null) trailer.set("grpc-message", encodeGrpcMessage(decodeURIComponent(message)));
  }
  return { ...answer, body: thenTrailer() };
}

/** What the answer itself says of how the call ended; undefined: it is in the body. */
function statusOf(answer: UniversalServerResponse, request: Http2ServerRequest): string | undefined {
  const status = answer.trailer?.get("grpc-status");
  if (isGrpc(request) && typeof status === "string") return statusName(Number(status));
  return answer.status >= 400 ? `http_${answer.status}` : undefined;
}

/** Connect makes a URL of both, and ends the call as a fault of the server where that fails. */
function assertAddressed({ authority, url }: Http2ServerRequest): void {
  if (authority && URL.canParse(url, `http://${authority}`)) return;
  throw new ConnectError('The pseudo-header ":authority" must be HOST or HOST:PORT', Code.InvalidArgument);
}

function unknownMethod(path: string): ConnectError {
  const text = `There is no method ${path.slice(0, 200)}; reflection lists what there is`;
  return new ConnectError(text, Code.Unimplemented);
}
