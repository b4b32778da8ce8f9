/** Clients of other makers, written against nothing but reflection: Python's grpcio and grpcurl, where they are. */
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { assertEquals } from "@std/assert";
import { createToken } from "../../src/server/mod.ts";
import { startTestServer, type TestServer } from "../support/test_server.ts";
import { serverTls, tlsFile } from "../support/tls_files.ts";
import { until } from "../support/until.ts";

interface Output {
  readonly success: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

/** @returns undefined: there is no such program */
async function execute(program: string, args: readonly string[]): Promise<Output | undefined> {
  try {
    const { success, stdout, stderr } = await new Deno.Command(program, { args: [...args] }).output();
    return { success, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

const root = fileURLToPath(new URL("../..", import.meta.url));
const grpcurl = (await execute("grpcurl", ["-version"]))
  ? "grpcurl"
  : (await execute(join(root, ".deno/bin/grpcurl"), ["-version"]))
  ? join(root, ".deno/bin/grpcurl")
  : undefined;
const hasGrpcio = (await execute("python3", ["-c", "import grpc, grpc_reflection"]))?.success === true;

const { token, line } = createToken("external", "write");

/** Plain without tokens, then TLS with them. */
async function withServers(test: (server: TestServer, guarded: boolean) => Promise<void>): Promise<void> {
  const tokenFile = Deno.makeTempFileSync();
  Deno.writeTextFileSync(tokenFile, line);
  for (const guarded of [false, true]) {
    await using server = await startTestServer(guarded ? { tls: serverTls, tokenFile } : {});
    await test(server, guarded);
  }
  Deno.removeSync(tokenFile);
}

Deno.test({
  name: `grpcio starts, watches, pauses, exports, resumes and cancels a run by reflection${
    hasGrpcio ? "" : " (skipped: python3 has no grpcio and grpcio-reflection)"
  }`,
  ignore: !hasGrpcio,
  async fn() {
    await withServers(async ({ address }, guarded) => {
      const script = join(root, "tests/support/reflection_client.py");
      const access = guarded ? [token, tlsFile("authority.pem")] : ["-", "-"];
      const output = await execute("python3", [script, address, ...access]);
      assertEquals(output?.success, true, output?.stderr);
      const { services, sequences, listed, exported, state } = JSON.parse(output?.stdout ?? "");
      assertEquals(services.includes("multistep.v1.TrainingService"), true);
      assertEquals(sequences, sequences.map((_: number, index: number) => index + 1));
      assertEquals([listed, exported, state], [sequences.length, true, "RUN_STATE_CANCELLED"]);
    });
  },
});

Deno.test({
  name: `grpcurl starts, watches, pauses, exports, resumes and cancels a run by reflection${
    grpcurl ? "" : " (skipped: it is not on PATH)"
  }`,
  ignore: grpcurl === undefined,
  async fn() {
    await withServers(async ({ address }, guarded) => {
      const access = guarded
        ? ["-cacert", tlsFile("authority.pem"), "-H", `authorization: Bearer ${token}`]
        : ["-plaintext"];
      const call = async (method: string, request: object, ...options: string[]) => {
        const args = [
          ...access,
          ...options,
          "-d",
          JSON.stringify(request),
          address,
          `multistep.v1.TrainingService/${method}`,
        ];
        const output = await execute(grpcurl ?? "", args);
        const text = (output?.stdout ?? "").trim().replaceAll(/}\s*{/g, "},{");
        return { ...output, answers: JSON.parse(`[${text}]`) };
      };
      const one = async (method: string, request: object) => {
        const { success, stderr, answers } = await call(method, request);
        assertEquals([success, answers.length], [true, 1], stderr);
        return answers[0];
      };
      const config = { model: { name: "lm-resnet-20" }, dataset: "digits", epochs: 100_000 };
      const started = await call("Train", { config }, "-max-time", "1");
      const events = started.answers.map(({ event }: { event: { run: string; sequence: number } }) => event);
      const name = events[0].run;
      assertEquals((await one("PauseRun", { name })).run.name, name);
      await until(async () => (await one("GetRun", { name })).run.state === "RUN_STATE_PAUSED");
      const piece = await one("ExportModel", { name, limit: 8 });
      const { path, step } = piece.checkpoint;
      assertEquals([atob(piece.data).length, step > 0], [Math.min(8, Number(piece.totalBytes)), true]);
      assertEquals((await one("ExportModel", { name, path, offset: piece.totalBytes })).data, undefined);
      assertEquals((await one("ResumeRun", { name })).run.name, name);
      await one("CancelRun", { name });
      const { answers } = await call("WatchRun", { name, after_sequence: events.at(-1).sequence });
      assertEquals(answers[0].event.sequence, events.at(-1).sequence + 1);
      assertEquals(answers.at(-1).event.stateChanged.state, "RUN_STATE_CANCELLED");
    });
  },
});
