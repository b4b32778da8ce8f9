/** Writes an answer no faster than its client takes it. */
import type { Http2ServerResponse, OutgoingHttpHeaders } from "node:http2";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import type { Outflow } from "./connections/outflow.ts";

export interface Pace {
  /** Undefined: the connection is gone already. */
  readonly outflow: Outflow | undefined;
  /** Milliseconds that the client may take nothing. */
  readonly patience: number;
}

/** @returns false when the client read nothing for too long; the answer is incomplete then. */
export async function sendResponse(
  answer: UniversalServerResponse,
  response: Http2ServerResponse,
  { outflow, patience }: Pace,
): Promise<boolean> {
  const { stream } = response;
  if (!answer.body) {
    writeHead(answer, response);
    response.end();
    return true;
  }
  const body = answer.body[Symbol.asyncIterator]();
  try {
    // The headers wait for the first message: until then the handler may set some.
    for (let chunk = await body.next(); !chunk.done; chunk = await body.next()) {
      if (!outflow || stream.destroyed || response.writableEnded) return true;
      writeHead(answer, response);
      if (!await outflow.write(response, chunk.value, patience)) return false;
    }
  } finally {
    // Not awaited: a handler that does not listen to its signal must not hold this back.
    body.return?.().catch(() => {});
  }
  if (stream.destroyed || response.writableEnded) return true;
  writeHead(answer, response);
  if (answer.trailer) response.addTrailers(headersOf(answer.trailer));
  response.end();
  return true;
}

function writeHead({ status, header }: UniversalServerResponse, response: Http2ServerResponse): void {
  if (!response.headersSent) response.writeHead(status, headersOf(header ?? new Headers()));
}

function headersOf(headers: Headers): OutgoingHttpHeaders {
  const result: OutgoingHttpHeaders = {};
  for (const name of headers.keys()) {
    result[name] = name === "set-cookie" ? headers.getSetCookie() : headers.get(name) ?? "";
  }
  return result;
}
