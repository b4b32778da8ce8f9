/** An HTTP server of files for tests: with ranges or without, and cut off where a test wants it. */
import http from "node:http";
import type { AddressInfo } from "node:net";

export interface FileServer extends AsyncDisposable {
  readonly url: string;
  /** By path. */
  readonly files: Map<string, Uint8Array>;
  readonly redirects: Map<string, string>;
  /** The paths asked for, with the range if there was one. */
  readonly asked: string[];
  /** Bytes after which an answer is cut, one entry an answer; then they are whole. */
  readonly cuts: number[];
  /** Changes whenever a file does. */
  etag: string | undefined;
  ranges: boolean;
  status: number | undefined;
}

export async function serveFiles(files: Record<string, Uint8Array>): Promise<FileServer> {
  const server = http.createServer((request, response) => {
    const path = request.url ?? "";
    const range = request.headers.range;
    state.asked.push(range === undefined ? path : `${path} ${range}`);
    const redirect = state.redirects.get(path);
    const file = state.files.get(path);
    if (redirect !== undefined) return response.writeHead(302, { location: redirect }).end();
    if (state.status !== undefined) return response.writeHead(state.status).end();
    if (!file) return response.writeHead(404).end();
    const start = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
    const isPart = state.ranges && start > 0 && request.headers["if-range"] === state.etag;
    if (isPart && start >= file.length) return response.writeHead(416).end();
    const body = isPart ? file.subarray(start) : file;
    response.writeHead(isPart ? 206 : 200, {
      "content-length": body.length,
      ...(state.etag !== undefined && { etag: state.etag }),
      ...(isPart && { "content-range": `bytes ${start}-${file.length - 1}/${file.length}` }),
    });
    const cut = state.cuts.shift();
    if (cut === undefined) return response.end(body);
    response.write(body.subarray(0, cut), () => setTimeout(() => response.destroy(), 100));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const state: FileServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    files: new Map(Object.entries(files)),
    redirects: new Map(),
    asked: [],
    cuts: [],
    etag: '"1"',
    ranges: true,
    status: undefined,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  return state;
}
