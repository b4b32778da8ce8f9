/** Answers to requests that reach no handler, in the words of the protocol that the client speaks. */
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import { encodeGrpcMessage } from "./grpc_message.ts";

/** HTTP statuses of codes in the Connect protocol. */
const httpStatuses: ReadonlyMap<Code, number> = new Map([
  [Code.Unauthenticated, 401],
  [Code.PermissionDenied, 403],
  [Code.Unimplemented, 404],
  [Code.ResourceExhausted, 429],
  [Code.Unavailable, 503],
  [Code.DeadlineExceeded, 504],
]);

export function refuse(request: Http2ServerRequest, response: Http2ServerResponse, error: ConnectError): void {
  if (response.headersSent || response.stream.destroyed) return;
  if (error.code === Code.Unauthenticated) response.setHeader("www-authenticate", "Bearer");
  const contentType = request.headers["content-type"] ?? "";
  if (/^application\/grpc($|[-+;])/.test(contentType)) {
    // A status without a message, gRPC's "trailers only": the headers must end the stream, which writeHead() cannot.
    response.stream.respond({
      ...response.getHeaders(),
      ":status": 200,
      "content-type": contentType.slice(0, 100),
      "grpc-status": String(error.code),
      "grpc-message": encodeGrpcMessage(error.rawMessage),
    }, { endStream: true });
    return;
  }
  const status = { code: codeToString(error.code), message: error.rawMessage };
  if (contentType.startsWith("application/connect+")) {
    response.writeHead(200, { "content-type": contentType.slice(0, 100) });
    response.end(endOfStream({ error: status }));
    return;
  }
  response.writeHead(httpStatuses.get(error.code) ?? 500, { "content-type": "application/json" });
  response.end(JSON.stringify(status));
}

/** The last message of a Connect stream: a byte of flags, four of length, JSON. */
function endOfStream(content: object): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(content));
  const message = new Uint8Array(5 + json.length);
  message[0] = 2;
  new DataView(message.buffer).setUint32(1, json.length);
  message.set(json, 5);
  return message;
}

export function isGrpc(request: Http2ServerRequest): boolean {
  return /^application\/grpc($|[+;])/.test(request.headers["content-type"] ?? "");
}
