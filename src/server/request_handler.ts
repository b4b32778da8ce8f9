/** HTTP/2 requests to RPC handlers: what connectNodeAdapter() does, with our log and texts that every client can read. */
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { Code, type ConnectRouter, type ConnectRouterOptions, createConnectRouter } from "@connectrpc/connect";
import {
  compressionBrotli,
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import type { UniversalHandler, UniversalServerResponse } from "@connectrpc/connect/protocol";
import { encodeGrpcMessage } from "./grpc_message.ts";
import type { Log } from "./log.ts";

export type RequestHandler = (request: Http2ServerRequest, response: Http2ServerResponse) => void;

/** @param options the routes' limits and interceptors */
export function createRequestHandler(
  routes: (router: ConnectRouter) => void,
  options: ConnectRouterOptions,
  log: Log,
): RequestHandler {
  const router = createConnectRouter({ acceptCompression: [compressionGzip, compressionBrotli], ...options });
  routes(router);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  return (request, response) => {
    // A stream that fails has nobody else who listens, and would end the process.
    request.stream.on("error", () => {});
    const handler = handlers.get(request.url.split("?", 1)[0]);
    if (!handler) return refuse(request, response);
    serve(handler, request, response).catch((error) => {
      // The client is gone; the call itself has told the interceptor.
      if (request.stream.destroyed) return;
      log.error("answer could not be sent", error, { method: handler.requestPath });
      request.stream.destroy();
    });
  };
}

async function serve(handler: UniversalHandler, request: Http2ServerRequest, response: Http2ServerResponse) {
  const answer = await handler(universalRequestFromNodeRequest(request, response, undefined, undefined));
  await universalResponseToNodeResponse(readable(answer, request), response);
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

/** A path that is no method's. */
function refuse(request: Http2ServerRequest, response: Http2ServerResponse): void {
  if (!isGrpc(request)) {
    response.writeHead(404);
    response.end();
    return;
  }
  // A status without a message: gRPC's "trailers only".
  response.writeHead(200, {
    "content-type": "application/grpc",
    "grpc-status": String(Code.Unimplemented),
    "grpc-message": encodeGrpcMessage(
      `There is no method ${request.url.slice(0, 200)}; reflection lists what there is`,
    ),
  });
  response.end();
}

function isGrpc(request: Http2ServerRequest): boolean {
  return /^application\/grpc($|[+;])/.test(request.headers["content-type"] ?? "");
}
