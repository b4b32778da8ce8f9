/** Server reflection and health over real HTTP/2, by grpc-js. */
import { fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { assert, assertEquals } from "@std/assert";
import { assertStatus, GrpcClient, Status } from "../support/grpc_client.ts";
import { startTestServer } from "../support/test_server.ts";

interface Answer {
  original_request: object;
  message_response: string;
  file_descriptor_response?: { file_descriptor_proto: Uint8Array[] };
  list_services_response?: { service: { name: string }[] };
  error_response?: { error_code: number; error_message: string };
}

const services = [
  "grpc.health.v1.Health",
  "grpc.reflection.v1.ServerReflection",
  "grpc.reflection.v1alpha.ServerReflection",
  "multistep.v1.CatalogService",
  "multistep.v1.InferenceService",
  "multistep.v1.TrainingService",
];

function filesOf(answer: Answer) {
  const bytes = answer.file_descriptor_response?.file_descriptor_proto ?? [];
  return bytes.map((file) => fromBinary(FileDescriptorProtoSchema, file));
}

for (const version of ["v1", "v1alpha"]) {
  const rpc = `grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;

  Deno.test(`reflection ${version} lists the services`, async () => {
    await using server = await startTestServer();
    using client = new GrpcClient(server.address);
    const [answer] = await client.exchange<Answer>(rpc, [{ list_services: "*" }]);
    assertEquals(answer.list_services_response?.service.map(({ name }) => name), services);
  });

  Deno.test(`reflection ${version} gives a file with all it imports, by name and by every kind of symbol`, async () => {
    await using server = await startTestServer();
    using client = new GrpcClient(server.address);
    const symbols: [string, string][] = [
      ["multistep.v1.TrainingService", "training_service"],
      ["multistep.v1.TrainingService.Train", "training_service"],
      ["multistep.v1.RunEvent", "run"],
      ["multistep.v1.RunEvent.state_changed", "run"],
      ["multistep.v1.RunEvent.kind", "run"],
      ["multistep.v1.RunState", "run"],
      ["multistep.v1.RUN_STATE_QUEUED", "run"],
      ["multistep.v1.Adapter.LimitsEntry", "catalog_service"],
    ];
    const questions = [
      { file_by_filename: "multistep/v1/training_service.proto" },
      ...symbols.map(([symbol]) => ({ file_containing_symbol: symbol })),
    ];
    const answers = await client.exchange<Answer>(rpc, questions);
    const expected = ["training_service", ...symbols.map(([, file]) => file)];
    for (const [index, answer] of answers.entries()) {
      const files = filesOf(answer);
      assertEquals(files[0].name, `multistep/v1/${expected[index]}.proto`);
      const names = new Set(files.map(({ name }) => name));
      for (const file of files) {
        for (const name of file.dependency) assert(names.has(name), `${file.name} needs ${name}`);
      }
    }
    assert(filesOf(answers[0]).some(({ name }) => name === "google/protobuf/timestamp.proto"));
  });

  Deno.test(`reflection ${version} answers what does not exist with an error, and goes on`, async () => {
    await using server = await startTestServer();
    using client = new GrpcClient(server.address);
    const answers = await client.exchange<Answer>(rpc, [
      { file_by_filename: "nothing.proto" },
      { file_containing_symbol: "multistep.v1.Nothing" },
      { file_containing_extension: { containing_type: "multistep.v1.Run", extension_number: 5 } },
      { all_extension_numbers_of_type: "multistep.v1.Run" },
      {},
      { host: "here", list_services: "" },
    ]);
    assertEquals(
      answers.map(({ error_response }) => error_response && Status[error_response.error_code]),
      ["NOT_FOUND", "NOT_FOUND", "NOT_FOUND", "NOT_FOUND", "INVALID_ARGUMENT", undefined],
    );
    assertEquals(answers[1].error_response?.error_message, 'There is no symbol "multistep.v1.Nothing"');
  });
}

Deno.test("health over gRPC: Check, List and Watch", async () => {
  await using server = await startTestServer();
  using client = new GrpcClient(server.address);
  const check = (service: string) => client.unary<{ status: string }>("grpc.health.v1.Health/Check", { service });
  assertEquals((await check("")).status, "SERVING");
  assertEquals((await check("multistep.v1.TrainingService")).status, "SERVING");
  await assertStatus(check("multistep.v1.Nothing"), Status.NOT_FOUND, '"multistep.v1.Nothing"');
  const { statuses } = await client.unary<{ statuses: Record<string, { status: string }> }>(
    "grpc.health.v1.Health/List",
  );
  assertEquals(Object.keys(statuses).sort(), ["", ...services.slice(3)]);
  const watch = client.stream("grpc.health.v1.Health/Watch", { service: "multistep.v1.Nothing" });
  watch.on("error", () => {});
  const first = await new Promise((resolve) => watch.once("data", resolve));
  assertEquals(first, { status: "SERVICE_UNKNOWN" });
  watch.cancel();
});

Deno.test("health over gRPC: nothing is served while the engine replaces its worker", async () => {
  await using server = await startTestServer();
  using client = new GrpcClient(server.address);
  const watch = client.stream("grpc.health.v1.Health/Watch", { service: "multistep.v1.TrainingService" });
  watch.on("error", () => {});
  const next = () => new Promise((resolve) => watch.once("data", resolve));
  assertEquals(await next(), { status: "SERVING" });
  for (const [available, status] of [[false, "NOT_SERVING"], [true, "SERVING"]] as const) {
    const changed = next();
    server.engine.setAvailable(available);
    assertEquals(await changed, { status });
  }
  watch.cancel();
});
