/** A generic client that knows no proto file: `buf curl`, by reflection. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { startTestServer } from "../support/test_server.ts";

interface Outcome {
  readonly code: number;
  /** The JSON objects it printed. */
  readonly answers: Record<string, unknown>[];
  readonly errors: string;
}

/** @param options flags of buf curl */
async function bufCurl(address: string, method: string, data: string, options: string[] = []): Promise<Outcome> {
  const url = `http://${address}/multistep.v1.${method}`;
  const flags = ["--http2-prior-knowledge", "--protocol", "grpc", ...options, "--data", data, url];
  const command = new Deno.Command(Deno.execPath(), { args: ["run", "-A", "npm:@bufbuild/buf", "curl", ...flags] });
  const { code, stdout, stderr } = await command.output();
  const text = new TextDecoder().decode(stdout).trim();
  // One object after the other, each over several lines.
  const answers = text === "" ? [] : JSON.parse(`[${text.replaceAll(/}\s*{/g, "},{")}]`);
  return { code, answers, errors: new TextDecoder().decode(stderr) };
}

const config = { model: { name: "lm-resnet-20" }, dataset: "digits" };

Deno.test("buf curl calls a unary method by reflection", async () => {
  await using server = await startTestServer();
  for (const protocol of ["grpc", "grpcweb", "connect"]) {
    const { code, answers, errors } = await bufCurl(server.address, "CatalogService/GetServerInfo", "{}", [
      "--protocol",
      protocol,
    ]);
    assertEquals(code, 0, errors);
    assertEquals(answers[0].denoVersion, Deno.version.deno);
  }
});

Deno.test("buf curl reads a server stream by reflection", async () => {
  await using server = await startTestServer();
  const { code, answers, errors } = await bufCurl(server.address, "TrainingService/Train", JSON.stringify({ config }));
  assertEquals(code, 0, errors);
  const last = answers.at(-1)?.event as { stateChanged: { state: string } };
  assertEquals(last.stateChanged.state, "RUN_STATE_SUCCEEDED");
});

Deno.test("buf curl uses a bidirectional stream by reflection, v1alpha too", async () => {
  await using server = await startTestServer();
  const trained = await bufCurl(server.address, "TrainingService/Train", JSON.stringify({ config }));
  const { run } = trained.answers[0].event as { run: string };
  const image = { raw: { height: 4, width: 4, channels: 1, pixels: btoa("\u0002".repeat(16)) } };
  const requests = ["a", "b", "c"].map((id) => JSON.stringify({ id, source: { run }, image, topK: 1 }));
  for (const reflection of ["grpc-v1", "grpc-v1alpha"]) {
    const { code, answers, errors } = await bufCurl(server.address, "InferenceService/StreamInfer", requests.join(""), [
      "--reflect-protocol",
      reflection,
    ]);
    assertEquals(code, 0, errors);
    assertEquals(answers.map(({ id }) => id).sort(), ["a", "b", "c"]);
    assertStringIncludes(JSON.stringify(answers[0]), '"className":"two"');
  }
});

Deno.test("buf curl shows the error of a wrong field", async () => {
  await using server = await startTestServer();
  const data = JSON.stringify({ config: { ...config, batchSize: 0 } });
  const { code, errors } = await bufCurl(server.address, "TrainingService/Train", data);
  assertEquals(code !== 0, true);
  assertStringIncludes(errors, "config.batch_size");
  assertStringIncludes(errors, "invalid_argument");
});
