/** Server reflection: the proto files of the services, so that a client needs none of its own. */
import { create, type DescFile, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type DescriptorProto, type EnumDescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, type ServiceImpl } from "@connectrpc/connect";
import { reflectionV1, type reflectionV1Alpha } from "../../gen/mod.ts";

type Answer = NonNullable<MessageInitShape<typeof reflectionV1.ServerReflectionResponseSchema>["messageResponse"]>;

/** What there is to ask for, by name. */
export class ReflectionIndex {
  private readonly files = new Map<string, DescFile>();
  private readonly symbols = new Map<string, DescFile>();
  readonly services: readonly string[];

  /** @param roots the files of the services served; what they import is included */
  constructor(roots: readonly DescFile[]) {
    for (const file of roots) for (const one of withDependencies(file)) this.files.set(one.proto.name, one);
    for (const file of this.files.values()) for (const symbol of symbolsOf(file)) this.symbols.set(symbol, file);
    this.services = roots.flatMap((file) => file.services.map(({ typeName }) => typeName)).sort();
  }

  file(name: string): DescFile | undefined {
    return this.files.get(name);
  }

  /** The file that declares a service, method, message, field, enum or value, by its full name. */
  fileOf(symbol: string): DescFile | undefined {
    return this.symbols.get(symbol);
  }
}

export function createReflectionV1(index: ReflectionIndex): ServiceImpl<typeof reflectionV1.ServerReflection> {
  return {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) yield answer(index, request);
    },
  };
}

/** The same messages on the wire under another package name. */
export function createReflectionV1Alpha(
  index: ReflectionIndex,
  schemas: typeof reflectionV1Alpha,
): ServiceImpl<typeof reflectionV1Alpha.ServerReflection> {
  return {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) {
        const bytes = toBinary(schemas.ServerReflectionRequestSchema, request);
        const answered = answer(index, fromBinary(reflectionV1.ServerReflectionRequestSchema, bytes));
        const answerBytes = toBinary(reflectionV1.ServerReflectionResponseSchema, answered);
        yield fromBinary(schemas.ServerReflectionResponseSchema, answerBytes);
      }
    },
  };
}

function answer(index: ReflectionIndex, request: reflectionV1.ServerReflectionRequest) {
  return create(reflectionV1.ServerReflectionResponseSchema, {
    validHost: request.host,
    originalRequest: request,
    messageResponse: answerTo(index, request.messageRequest),
  });
}

function answerTo(
  index: ReflectionIndex,
  question: reflectionV1.ServerReflectionRequest["messageRequest"],
): Answer {
  switch (question.case) {
    case "fileByFilename":
      return fileAnswer(index.file(question.value), `There is no file "${question.value}"`);
    case "fileContainingSymbol":
      return fileAnswer(index.fileOf(question.value), `There is no symbol "${question.value}"`);
    case "listServices":
      return { case: "listServicesResponse", value: { service: index.services.map((name) => ({ name })) } };
    case "fileContainingExtension":
    case "allExtensionNumbersOfType":
      return errorAnswer(Code.NotFound, "This server has no extensions");
    case undefined:
      return errorAnswer(Code.InvalidArgument, 'Field "message_request" must be set, got nothing');
  }
}

/** The file, and what it imports after it. */
function fileAnswer(file: DescFile | undefined, missing: string): Answer {
  if (!file) return errorAnswer(Code.NotFound, missing);
  const fileDescriptorProto = withDependencies(file).map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto } };
}

function errorAnswer(errorCode: Code, errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode, errorMessage } };
}

function withDependencies(file: DescFile, found = new Set<DescFile>()): DescFile[] {
  if (!found.has(file)) {
    found.add(file);
    for (const dependency of file.dependencies) withDependencies(dependency, found);
  }
  return [...found];
}

/** The full names of all that a file declares. */
function* symbolsOf({ proto }: DescFile): Generator<string> {
  const scope = proto.package === "" ? "" : `${proto.package}.`;
  for (const message of proto.messageType) yield* symbolsOfMessage(scope, message);
  for (const declared of proto.enumType) yield* symbolsOfEnum(scope, declared);
  for (const extension of proto.extension) yield scope + extension.name;
  for (const service of proto.service) {
    yield scope + service.name;
    for (const method of service.method) yield `${scope}${service.name}.${method.name}`;
  }
}

function* symbolsOfMessage(scope: string, message: DescriptorProto): Generator<string> {
  const name = scope + message.name;
  yield name;
  for (const part of [...message.field, ...message.oneofDecl, ...message.extension]) yield `${name}.${part.name}`;
  for (const nested of message.nestedType) yield* symbolsOfMessage(`${name}.`, nested);
  for (const nested of message.enumType) yield* symbolsOfEnum(`${name}.`, nested);
}

/** The values are siblings of the enum. */
function* symbolsOfEnum(scope: string, declared: EnumDescriptorProto): Generator<string> {
  yield scope + declared.name;
  for (const value of declared.value) yield scope + value.name;
}
