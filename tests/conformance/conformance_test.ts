/**
 * The public conformance runner of connectrpc.com against the server's own construction: gRPC, gRPC-Web and Connect
 * over HTTP/2, plain, with TLS, and with certificates of the clients. No case is known to fail; `flaky` names one that
 * may, by chance.
 */
import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "@std/assert";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** @returns the runner: on PATH, or where `install.sh` puts it; undefined: there is none */
async function findRunner(): Promise<string | undefined> {
  for (const path of ["connectconformance", `${root}.deno/bin/connectconformance`]) {
    try {
      const { success } = await new Deno.Command(path, { args: ["--version"], stdout: "null", stderr: "null" })
        .output();
      if (success) return path;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

/**
 * Client and server share one deadline: where the client's comes while it reads the server's answer to it, the client
 * finds a body that is cut, and not the error that it tells.
 */
const flaky = ["Timeouts/*/Protocol:PROTOCOL_CONNECT/**/unary"];

const runner = await findRunner();
const name = "every case of the public conformance runner passes";

Deno.test({
  name: runner ? name : `${name} (skipped: no connectconformance; sh tests/conformance/install.sh builds it)`,
  ignore: runner === undefined,
  async fn() {
    const server = [Deno.execPath(), "run", "-A", "--no-check", "tests/conformance/server.ts"];
    const config = ["--mode", "server", "--conf", "tests/conformance/config.yaml", "-v"];
    const args = [...config, ...flaky.flatMap((pattern) => ["--known-flaky", pattern]), "--", ...server];
    const command = new Deno.Command(runner ?? "", { args, cwd: root, signal: AbortSignal.timeout(300_000) });
    const { code, stdout, stderr } = await command.output();
    const report = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    assertEquals(code, 0, report);
    const [, passed] = /^(\d+) passed, /m.exec(report) ?? [];
    assert(Number(passed) > 3_000, report);
  },
});
