/** Plain HTTP/1.1 for those who watch the server: `/metrics` for Prometheus, `/healthz` for probes. */
import { ServerError } from "../errors.ts";
import { type Address, formatAddress } from "../listen.ts";
import type { Log } from "../log.ts";

export interface MetricsPage {
  readonly contentType: string;
  read(): Promise<string>;
}

export interface MetricsServerParts {
  readonly metrics: MetricsPage;
  readonly log: Log;
  isServing(): boolean;
}

export interface MetricsServer extends AsyncDisposable {
  /** "HOST:PORT", with the port that was given. */
  readonly address: string;
}

/** @throws {ServerError} the address is in use, or none of this machine. */
export function startMetricsServer({ host, port }: Address, parts: MetricsServerParts): MetricsServer {
  const ended = new AbortController();
  let server: Deno.HttpServer<Deno.NetAddr>;
  try {
    server = Deno.serve(
      {
        hostname: host,
        port,
        signal: ended.signal,
        onListen() {},
        // Deno's own would write the stack to stderr, among lines of JSON.
        onError(error) {
          parts.log.error("metrics could not be told", error);
          return text(500, "An internal error; the server's log has it\n");
        },
      },
      (request) => answer(request, parts),
    );
  } catch (error) {
    const reason = error instanceof Deno.errors.AddrInUse
      ? "the port is in use"
      : "the host is no address of this machine";
    throw new ServerError(`Cannot serve metrics on ${formatAddress({ host, port })}: ${reason}`, { cause: error });
  }
  return {
    address: formatAddress({ host, port: server.addr.port }),
    async [Symbol.asyncDispose]() {
      ended.abort();
      await server.finished;
    },
  };
}

async function answer({ method, url }: Request, { metrics, isServing }: MetricsServerParts): Promise<Response> {
  if (method !== "GET" && method !== "HEAD") return text(405, "Only GET is answered\n");
  // Deno makes the URL of the header "host".
  const address = URL.parse(url);
  if (!address) return text(400, 'The header "host" must be HOST or HOST:PORT\n');
  switch (address.pathname) {
    case "/healthz":
      return isServing() ? text(200, "SERVING\n") : text(503, "NOT_SERVING\n");
    case "/metrics":
      return new Response(await metrics.read(), { headers: { "content-type": metrics.contentType } });
    default:
      return text(404, "There are /metrics and /healthz\n");
  }
}

function text(status: number, body: string): Response {
  return new Response(body, { status, headers: { "content-type": "text/plain; charset=utf-8" } });
}
