/** How commands reach a server with TLS and tokens, and make the tokens. */
import { join } from "node:path";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { createToken } from "../../src/server/mod.ts";
import { startTestServer, type TestServer } from "../support/test_server.ts";
import { mutualTls, serverTls, tlsFile } from "../support/tls_files.ts";
import { type Circumstances, jsonLines, type Outcome, runCommand } from "./harness.ts";

const write = createToken("writer", "write");
const read = createToken("reader", "read");

type Run = (line: string, circumstances?: Circumstances) => Promise<Outcome>;

async function withGuardedServer(
  mutual: boolean,
  test: (run: Run, server: TestServer, folder: string) => Promise<void>,
): Promise<void> {
  const folder = Deno.makeTempDirSync();
  const tokenFile = join(folder, "tokens");
  Deno.writeTextFileSync(tokenFile, `${write.line}\n${read.line}\n`);
  try {
    await using server = await startTestServer({ tokenFile, tls: mutual ? mutualTls : serverTls });
    const run: Run = (line, more) =>
      runCommand(line.split(" "), { server: `https://${server.address}`, tlsCa: tlsFile("authority.pem"), ...more });
    await test(run, server, folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

const train = "train --model lm-resnet-20 --dataset digits";

Deno.test("commands reach a server with TLS and tokens", async () => {
  await withGuardedServer(false, async (run, { address }, folder) => {
    assertEquals((await run(`${train} --json`, { token: write.token })).code, 0);
    const tokenFile = join(folder, "mine");
    Deno.writeTextFileSync(tokenFile, `${read.token}\n`);
    const byOptions = `runs list --json --server ${address} --tls-ca ${tlsFile("authority.pem")}`;
    const listed = await run(`${byOptions} --token-file ${tokenFile}`, { server: "127.0.0.1:1", tlsCa: undefined });
    assertEquals([listed.code, jsonLines(listed)[0].state], [0, "SUCCEEDED"]);
  });
});

Deno.test("commands show a certificate of their own where the server wants one", async () => {
  await withGuardedServer(true, async (run) => {
    const own = `--tls-cert ${tlsFile("client.pem")} --tls-key ${tlsFile("client.key")}`;
    assertEquals((await run(`runs list ${own}`, { token: read.token })).code, 0);
    assertEquals((await run("runs list", { token: read.token })).code, 1);
  });
});

Deno.test("a command says what its token or certificate lacks", async () => {
  await withGuardedServer(false, async (run, { address }) => {
    const cases: [Circumstances, string, string][] = [
      [{}, "runs list", "--token-file or MULTISTEP_TOKEN"],
      [{ token: "mst_wrong" }, "runs list", "The token is not known to this server"],
      [{ token: read.token }, "runs cancel runs/x", 'needs a token with the scope "write"'],
      [{ token: read.token, tlsCa: tlsFile("stranger.pem") }, "runs list", "--tls-ca"],
      [{ token: read.token, tlsCa: "/nowhere.pem" }, "runs list", 'Cannot read "/nowhere.pem": it does not exist'],
    ];
    for (const [circumstances, line, words] of cases) {
      const { code, stderr } = await run(line, circumstances);
      assertEquals(code, 1);
      assertMatch(stderr, /^multistep: .+\n$/);
      assertStringIncludes(stderr, words);
    }
    const half = await run(`runs list --server ${address} --tls-cert x`);
    assertEquals(half.code, 2);
    assertStringIncludes(half.stderr, "go together");
  });
});

Deno.test("a token is not sent in the clear to another machine", async () => {
  const { code, stderr } = await runCommand(["runs", "list"], { server: "192.0.2.1:50051", token: read.token });
  assertEquals(code, 1);
  assertStringIncludes(stderr, "Cannot send the token to 192.0.2.1:50051 in the clear: name the server as https://");
});

Deno.test("token create prints a token and adds its hash to the server's file", async () => {
  const folder = Deno.makeTempDirSync();
  const file = join(folder, "tokens");
  const local = { createToken: (name: string, scope: "read" | "write") => Promise.resolve(createToken(name, scope)) };
  const create = (line: string) => runCommand(["token", "create", ...line.split(" ")], { local });
  const [first] = jsonLines(await create(`ci --scope write --token-file ${file} --json`));
  const [second] = jsonLines(await create("dashboard --json"));
  // As a text editor may leave it: the last line is not ended.
  Deno.writeTextFileSync(file, String(second.line), { append: true });
  const [third] = jsonLines(await create(`phone --token-file ${file} --json`));
  assertEquals(Deno.statSync(file).mode! & 0o777, 0o600);
  assertEquals(Deno.readTextFileSync(file).includes(String(first.token)), false);
  assertMatch(
    Deno.readTextFileSync(file),
    /^ci write [0-9a-f]{64}\ndashboard read [0-9a-f]{64}\nphone read [0-9a-f]{64}\n$/,
  );
  await using server = await startTestServer({ tokenFile: file });
  for (const { token } of [first, second, third]) {
    const { code } = await runCommand(["runs", "list"], { server: server.address, token: String(token) });
    assertEquals(code, 0);
  }
  const bad = await create("two/words");
  assertEquals(bad.code, 1);
  assertStringIncludes(bad.stderr, 'Cannot name a token "two/words"');
  Deno.removeSync(folder, { recursive: true });
});
