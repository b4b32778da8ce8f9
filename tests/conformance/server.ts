/**
 * The server that the conformance runner tests: the product's own construction, with the runner's service. It reads
 * one request on stdin, which says how to serve, and answers on stdout where; each after its length in four bytes.
 */
import { join } from "node:path";
import { create, createRegistry, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { AddressInfo } from "node:net";
import { Log } from "../../src/server/log.ts";
import { buildServer, type TlsFiles } from "../../src/server/mod.ts";
import {
  type ServerCompatRequest,
  ServerCompatRequestSchema,
  ServerCompatResponseSchema,
} from "./gen/connectrpc/conformance/v1/server_compat_pb.ts";
import {
  ConformanceService,
  file_connectrpc_conformance_v1_service,
} from "./gen/connectrpc/conformance/v1/service_pb.ts";
import { conformanceService } from "./service.ts";

async function readExactly(length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let filled = 0; filled < length;) {
    const count = await Deno.stdin.read(bytes.subarray(filled));
    if (count === null) throw new Error("stdin ended within a message");
    filled += count;
  }
  return bytes;
}

async function readRequest(): Promise<ServerCompatRequest> {
  const length = new DataView((await readExactly(4)).buffer).getUint32(0);
  return fromBinary(ServerCompatRequestSchema, await readExactly(length));
}

/** The server takes its certificates from files. */
function writeTlsFiles({ serverCreds, clientTlsCert }: ServerCompatRequest, folder: string): TlsFiles {
  const write = (name: string, pem: Uint8Array | undefined) => {
    const path = join(folder, name);
    Deno.writeFileSync(path, pem ?? new Uint8Array());
    return path;
  };
  const files = { cert: write("cert.pem", serverCreds?.cert), key: write("key.pem", serverCreds?.key) };
  return clientTlsCert.length === 0 ? files : { ...files, clientCa: write("client.pem", clientTlsCert) };
}

const request = await readRequest();
const folder = Deno.makeTempDirSync();
const built = buildServer({
  log: new Log(() => {}),
  tls: request.useTls ? writeTlsFiles(request, folder) : undefined,
  limits: request.messageReceiveLimit > 0 ? { messageBytes: request.messageReceiveLimit } : {},
  routes(router) {
    const registry = createRegistry(file_connectrpc_conformance_v1_service);
    router.service(ConformanceService, conformanceService, { jsonOptions: { registry } });
  },
});
Deno.addSignalListener("SIGTERM", async () => {
  built.stopAccepting();
  await built.close(1_000);
  Deno.removeSync(folder, { recursive: true });
  Deno.exit(0);
});
await new Promise<void>((resolve) => built.server.listen(0, "127.0.0.1", resolve));
const { port } = built.server.address() as AddressInfo;
const response = toBinary(
  ServerCompatResponseSchema,
  create(ServerCompatResponseSchema, { host: "127.0.0.1", port, pemCert: request.serverCreds?.cert }),
);
const length = new Uint8Array(4);
new DataView(length.buffer).setUint32(0, response.length);
await Deno.stdout.write(length);
await Deno.stdout.write(response);
