/** What guards a server that others can reach: TLS, client certificates, tokens, and the refusal to do without. */
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { TrainingService } from "../../src/gen/mod.ts";
import { createToken, type Scope } from "../../src/server/mod.ts";
import { ServerError } from "../../src/server/errors.ts";
import { validityProblem } from "../../src/server/security/tls.ts";
import {
  assertStatus,
  credentials,
  type EventMessage,
  GrpcClient,
  type GrpcClientOptions,
  quickConfig,
  Status,
} from "../support/grpc_client.ts";
import { startTestServer, type TestServer, type TestServerOptions } from "../support/test_server.ts";
import { until } from "../support/until.ts";
import { mutualTls, serverTls, tlsFile, tlsText } from "../support/tls_files.ts";

const bytesOf = (name: string) => Buffer.from(tlsText(name));

/** @param certificate the client's own, by name */
function secureClient({ address }: TestServer, certificate?: string): GrpcClient {
  const own = certificate === undefined ? [] : [bytesOf(`${certificate}.key`), bytesOf(`${certificate}.pem`)];
  const options: GrpcClientOptions = { credentials: credentials.createSsl(bytesOf("authority.pem"), ...own) };
  return new GrpcClient(named(address), options);
}

/** grpc-js verifies no certificates of addresses. */
function named(address: string): string {
  return address.replace("127.0.0.1", "localhost");
}

/** A server with tokens, on a token file that holds `lines`. */
async function withTokens(
  test: (server: TestServer, file: string) => Promise<void>,
  lines: readonly string[],
  options: TestServerOptions = {},
): Promise<void> {
  const folder = Deno.makeTempDirSync();
  const file = join(folder, "tokens");
  Deno.writeTextFileSync(file, lines.join("\n"));
  try {
    await using server = await startTestServer({ tokenFile: file, ...options });
    await test(server, file);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function bearer(token: string): { headers: Record<string, string> } {
  return { headers: { authorization: `Bearer ${token}` } };
}

Deno.test("TLS: a client that trusts the authority gets its answers, others do not", async () => {
  await using server = await startTestServer({ tls: serverTls });
  using client = secureClient(server);
  const events = await client.collect<EventMessage>("TrainingService/Train", { config: quickConfig() });
  assertEquals(events.at(-1)?.event.state_changed?.state, "RUN_STATE_SUCCEEDED");
  using stranger = new GrpcClient(named(server.address), {
    credentials: credentials.createSsl(bytesOf("stranger.pem")),
  });
  await assertStatus(stranger.unary("CatalogService/GetServerInfo"), Status.UNAVAILABLE);
  using plain = new GrpcClient(server.address);
  await assertStatus(plain.unary("CatalogService/GetServerInfo"), Status.UNAVAILABLE);
});

Deno.test("mutual TLS: only a client with a certificate of the authority gets a connection", async () => {
  await using server = await startTestServer({ tls: mutualTls });
  using client = secureClient(server, "client");
  await client.unary("CatalogService/GetServerInfo");
  for (const certificate of [undefined, "stranger-client"]) {
    using other = secureClient(server, certificate);
    await assertStatus(other.unary("CatalogService/GetServerInfo"), Status.UNAVAILABLE);
  }
});

Deno.test("TLS: a renewed certificate counts for new connections", async () => {
  const folder = Deno.makeTempDirSync();
  const tls = { cert: join(folder, "cert.pem"), key: join(folder, "key.pem") };
  const install = (name: string) => {
    Deno.writeTextFileSync(tls.cert, tlsText(`${name}.pem`));
    Deno.writeTextFileSync(tls.key, tlsText(`${name}.key`));
  };
  install("server");
  await using server = await startTestServer({ tls });
  const [hostname, port] = server.address.split(":");
  const commonName = async () => {
    const { connect } = await import("node:tls");
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const socket = connect({ host: hostname, port: Number(port), ca: tlsText("authority.pem"), ALPNProtocols: ["h2"] });
    socket.on("error", reject).on("secureConnect", () => resolve(String(socket.getPeerCertificate().subject.CN)));
    return await promise.finally(() => socket.destroy());
  };
  assertEquals(await commonName(), "server");
  install("renewed");
  await until(async () => await commonName() === "renewed");
  Deno.writeTextFileSync(tls.cert, "no certificate");
  await until(() => server.logs.some((line) => line.includes("cannot be used")));
  assertEquals(await commonName(), "renewed");
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("files of TLS that cannot be used are refused by name", async () => {
  const start = (tls: object) => startTestServer({ tls: { ...serverTls, ...tls } });
  await assertRejects(() => start({ cert: "/nowhere.pem" }), ServerError, '"/nowhere.pem": it does not exist');
  await assertRejects(() => start({ cert: serverTls.key }), ServerError, "it is no certificate in PEM");
  await assertRejects(() => start({ key: serverTls.cert }), ServerError, "it is no private key in PEM");
  await assertRejects(() => start({ key: tlsFile("client.key") }), ServerError, "it is not that of the certificate");
  await assertRejects(() => start({ clientCa: serverTls.key }), ServerError, "it is no certificate in PEM");
});

Deno.test("a certificate that is not valid is told of", () => {
  const problem = (date: string) => validityProblem({ cert: tlsText("server.pem") }, Date.parse(date));
  assertEquals(problem("2050-01-01"), undefined);
  assertMatch(problem("2200-01-01") ?? "", /certificate has expired on .+ GMT/);
  assertMatch(problem("2000-01-01") ?? "", /certificate is not valid before .+ GMT/);
});

Deno.test("tokens: a file without end is refused", { ignore: Deno.build.os === "windows" }, async () => {
  const start = startTestServer({ tokenFile: "/dev/zero" });
  await assertRejects(() => start, ServerError, "it is longer than 1048576 bytes");
});

Deno.test("tokens: reading needs read, changing needs write, health checks none", async () => {
  const make = (scope: Scope) => createToken(scope, scope);
  const [read, write] = [make("read"), make("write")];
  await withTokens(async (server) => {
    using client = new GrpcClient(server.address);
    await assertStatus(client.unary("TrainingService/ListRuns"), Status.UNAUTHENTICATED, "authorization: Bearer");
    await assertStatus(
      client.unary("TrainingService/ListRuns", {}, bearer("mst_wrong")),
      Status.UNAUTHENTICATED,
      "not known",
    );
    await client.unary("TrainingService/ListRuns", {}, bearer(read.token));
    await assertStatus(
      client.unary("TrainingService/CancelRun", { name: "runs/x" }, bearer(read.token)),
      Status.PERMISSION_DENIED,
      'CancelRun needs a token with the scope "write", and "read" has "read"',
    );
    await assertStatus(
      client.unary("TrainingService/CancelRun", { name: "runs/x" }, bearer(write.token)),
      Status.NOT_FOUND,
    );
    await client.unary("TrainingService/ListRuns", {}, bearer(write.token));
    await client.unary("grpc.health.v1.Health/Check");
    assertEquals(server.engine.trainings, 0);
    const denied = server.logs.map((line) => JSON.parse(line)).filter(({ message }) => message === "call denied");
    assertEquals(denied.map(({ level, status }) => `${level} ${status}`), [
      "warning unauthenticated",
      "warning unauthenticated",
      "warning permission_denied",
    ]);
    assert(!server.logs.some((line) => line.includes(read.token) || line.includes("mst_wrong")), "a token was logged");
  }, [read.line, "# a comment", "", write.line]);
});

Deno.test("tokens: of all calls about runs, those that change something need write, the others read", async () => {
  const read = createToken("reader", "read");
  await withTokens(async (server) => {
    using client = new GrpcClient(server.address);
    const allowed: string[] = [];
    for (const { name, methodKind } of TrainingService.methods) {
      const request = name === "Train" || name === "ListRuns" ? {} : { name: "runs/x" };
      const rpc = `TrainingService/${name}`;
      const call = methodKind === "unary"
        ? client.unary(rpc, request, bearer(read.token))
        : client.collect(rpc, request, bearer(read.token));
      const code = await call.then(() => Status.OK, ({ code }: { code: number }) => code);
      if (code !== Status.PERMISSION_DENIED) allowed.push(`${name} ${Status[code]}`);
    }
    assertEquals(allowed, [
      "GetRun NOT_FOUND",
      "ListRuns OK",
      "WatchRun NOT_FOUND",
      "ListRunEvents NOT_FOUND",
      "ExportModel NOT_FOUND",
    ]);
  }, [read.line]);
});

Deno.test("tokens: a file that changes counts at once, and one that is broken does not", async () => {
  const [first, second] = [createToken("first", "read"), createToken("second", "read")];
  await withTokens(async (server, file) => {
    using client = new GrpcClient(server.address);
    const works = async ({ token }: { token: string }) => {
      const call = client.unary("TrainingService/ListRuns", {}, bearer(token));
      return await call.then(() => true, () => false);
    };
    assertEquals([await works(first), await works(second)], [true, false]);
    Deno.writeTextFileSync(file, second.line);
    await until(() => works(second));
    assertEquals(await works(first), false);
    Deno.writeTextFileSync(file, "nonsense");
    await until(() => server.logs.some((line) => line.includes("Cannot read line 1 of the token file")));
    assertEquals(await works(second), true);
  }, [first.line]);
});

Deno.test("a server refuses to listen beyond loopback without TLS and clients that prove who they are", async () => {
  const file = Deno.makeTempFileSync();
  const start = async (options: TestServerOptions) => {
    await using server = await startTestServer({ listen: "0.0.0.0:0", ...options });
    return server.address;
  };
  await assertRejects(
    () => start({}),
    ServerError,
    "without --tls-cert and --tls-key and --token-file or --client-ca; --insecure",
  );
  await assertRejects(() => start({ tls: serverTls }), ServerError, "without --token-file or --client-ca");
  await assertRejects(() => start({ tokenFile: file }), ServerError, "without --tls-cert and --tls-key;");
  await assertRejects(() => start({ listen: "[::]:0" }), ServerError, "other machines can reach");
  await start({ tls: serverTls, tokenFile: file });
  await start({ tls: mutualTls });
  await start({ insecure: true });
  await start({ listen: "localhost:0" });
  Deno.removeSync(file);
});
