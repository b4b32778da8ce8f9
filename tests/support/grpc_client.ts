/** A client of grpc-js and proto-loader, as a user of Node would have it. */
import { AssertionError } from "node:assert";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";
import { assertEquals, assertStringIncludes } from "@std/assert";

export const Status = grpc.status;
export const { credentials } = grpc;

const files = [
  "multistep/v1/training_service.proto",
  "multistep/v1/inference_service.proto",
  "multistep/v1/catalog_service.proto",
  "grpc/health/v1/health.proto",
  "grpc/reflection/v1/reflection.proto",
  "grpc/reflection/v1alpha/reflection.proto",
];

const definitions = protoLoader.loadSync(files, {
  includeDirs: [fileURLToPath(new URL("../../proto", import.meta.url))],
  keepCase: true,
  longs: Number,
  enums: String,
  defaults: true,
  oneofs: true,
});

type Method = grpc.MethodDefinition<object, object>;

function findMethod(rpc: string): Method {
  const [service, name] = rpc.split("/");
  const definition = definitions[service] ?? definitions[`multistep.v1.${service}`];
  return (definition as Record<string, Method>)[name];
}

export interface GrpcClientOptions {
  /** Default: no TLS. */
  readonly credentials?: grpc.ChannelCredentials;
  readonly options?: grpc.ClientOptions;
}

export interface CallMetadata {
  readonly headers?: Readonly<Record<string, string>>;
  readonly onHeaders?: (headers: grpc.Metadata) => void;
}

function metadataOf({ headers = {} }: CallMetadata): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return metadata;
}

/** Requests and answers are plain objects with the names of the proto files, enums by name. */
export class GrpcClient implements Disposable {
  private readonly client: grpc.Client;

  constructor(address: string, { credentials, options }: GrpcClientOptions = {}) {
    this.client = new grpc.Client(address, credentials ?? grpc.credentials.createInsecure(), {
      "grpc.max_send_message_length": -1,
      ...options,
      // Every client has a connection of its own.
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  /** @param rpc "TrainingService/GetRun", or with the full name of a service of another package */
  unary<A>(rpc: string, request: object = {}, options: grpc.CallOptions & CallMetadata = {}): Promise<A> {
    const { path, requestSerialize, responseDeserialize } = findMethod(rpc);
    const { promise, resolve, reject } = Promise.withResolvers<A>();
    const done: grpc.requestCallback<object> = (error, answer) => error ? reject(error) : resolve(answer as A);
    const metadata = metadataOf(options);
    const call = this.client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      metadata,
      options,
      done,
    );
    if (options.onHeaders) call.on("metadata", options.onHeaders);
    return promise;
  }

  stream(
    rpc: string,
    request: object = {},
    options: grpc.CallOptions & CallMetadata = {},
  ): grpc.ClientReadableStream<object> {
    const { path, requestSerialize, responseDeserialize } = findMethod(rpc);
    const metadata = metadataOf(options);
    return this.client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      metadata,
      options,
    );
  }

  /** All answers of a server stream. */
  async collect<A>(rpc: string, request: object = {}, options: grpc.CallOptions & CallMetadata = {}): Promise<A[]> {
    const answers: A[] = [];
    for await (const answer of this.stream(rpc, request, options)) answers.push(answer as A);
    return answers;
  }

  duplex(rpc: string, options: grpc.CallOptions = {}): grpc.ClientDuplexStream<object, object> {
    const { path, requestSerialize, responseDeserialize } = findMethod(rpc);
    return this.client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, options);
  }

  /** All answers of a bidirectional stream, after all requests were sent. */
  async exchange<A>(rpc: string, requests: readonly object[]): Promise<A[]> {
    const call = this.duplex(rpc);
    for (const request of requests) call.write(request);
    call.end();
    const answers: A[] = [];
    for await (const answer of call) answers.push(answer as A);
    return answers;
  }

  [Symbol.dispose](): void {
    this.client.close();
  }
}

export interface RunMessage {
  name: string;
  state: string;
  status_message: string;
  config: { dataset: string; seed: number; epochs: number; optimizer: { learning_rate: number } };
  last_sequence: number;
  attempt: number;
  progress: { step: number; total_steps: number; training: { loss: number; images: number } } | null;
  evaluation: { top1: number } | null;
  start_time: object | null;
  end_time: object | null;
  checkpoints: { path: string; step: number; bytes: number }[];
}

export interface EventMessage {
  event: {
    run: string;
    sequence: number;
    step: number;
    kind: string;
    state_changed?: { state: string; status_message: string };
    progress?: { metrics: { loss: number; images: number }; total_steps: number };
    checkpoint?: { path: string };
  };
}

/** A configuration that the fake engine trains in a few milliseconds. */
export function quickConfig(changes: object = {}): object {
  return { model: { name: "lm-resnet-20" }, dataset: "digits", ...changes };
}

/** One that goes on until it is stopped. */
export function longConfig(changes: object = {}): object {
  return quickConfig({ epochs: 100_000, ...changes });
}

/** @returns the status's text */
export async function assertStatus(call: Promise<unknown>, code: grpc.status, text = ""): Promise<string> {
  let error: grpc.ServiceError;
  try {
    await call;
  } catch (thrown) {
    error = thrown as grpc.ServiceError;
    assertEquals(Status[error.code], Status[code], `${error.message}`);
    assertStringIncludes(error.details, text);
    return error.details;
  }
  throw new AssertionError({ message: `Expected status ${Status[code]}, got an answer` });
}
