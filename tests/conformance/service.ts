/** The service that the conformance runner calls: it answers as each request says. */
import { setTimeout as delay } from "node:timers/promises";
import { create, type DescMessage, type Message, type MessageShape } from "@bufbuild/protobuf";
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import {
  BidiStreamRequestSchema,
  ClientStreamRequestSchema,
  type ConformancePayload,
  ConformancePayload_RequestInfoSchema,
  ConformancePayloadSchema,
  type ConformanceService,
  type Error as ErrorDefinition,
  type Header,
  HeaderSchema,
  IdempotentUnaryRequestSchema,
  ServerStreamRequestSchema,
  type StreamResponseDefinition,
  UnaryRequestSchema,
  type UnaryResponseDefinition,
} from "./gen/connectrpc/conformance/v1/service_pb.ts";

export const conformanceService: ServiceImpl<typeof ConformanceService> = {
  async unary(request, context) {
    return { payload: await unaryPayload(request.responseDefinition, context, [pack(UnaryRequestSchema, request)]) };
  },

  async idempotentUnary(request, context) {
    const packed = pack(IdempotentUnaryRequestSchema, request);
    return { payload: await unaryPayload(request.responseDefinition, context, [packed]) };
  },

  async clientStream(requests, context) {
    const packed: Any[] = [];
    let definition: UnaryResponseDefinition | undefined;
    for await (const request of requests) {
      if (packed.length === 0) definition = request.responseDefinition;
      packed.push(pack(ClientStreamRequestSchema, request));
    }
    return { payload: await unaryPayload(definition, context, packed) };
  },

  async *serverStream(request, context) {
    const { responseDefinition: definition } = request;
    const packed = [pack(ServerStreamRequestSchema, request)];
    announce(definition, context);
    for (const [index, data] of (definition?.responseData ?? []).entries()) {
      await delay(definition?.responseDelayMs);
      yield { payload: index === 0 ? payload(data, requestInfo(context, packed)) : payload(data) };
    }
    throwDefined(definition, context, packed);
  },

  async *bidiStream(requests, context) {
    const packed: Any[] = [];
    let definition: StreamResponseDefinition | undefined;
    let isFullDuplex = false;
    let received = 0;
    let sent = 0;
    for await (const request of requests) {
      if (received++ === 0) {
        definition = request.responseDefinition;
        isFullDuplex = request.fullDuplex;
        announce(definition, context);
      }
      packed.push(pack(BidiStreamRequestSchema, request));
      if (!isFullDuplex) continue;
      const data = definition?.responseData[sent];
      if (!data) break;
      await delay(definition?.responseDelayMs);
      const requestsSince = packed.splice(0);
      // What does not change is told once.
      const info = sent === 0
        ? requestInfo(context, requestsSince)
        : create(ConformancePayload_RequestInfoSchema, { requests: requestsSince });
      yield { payload: payload(data, info) };
      sent++;
    }
    for (const data of (definition?.responseData ?? []).slice(sent)) {
      await delay(definition?.responseDelayMs);
      yield { payload: sent === 0 ? payload(data, requestInfo(context, packed)) : payload(data) };
      sent++;
    }
    throwDefined(definition, context, packed, sent);
  },

  unimplemented() {
    throw new ConnectError("It is not implemented", Code.Unimplemented);
  },
};

async function unaryPayload(
  definition: UnaryResponseDefinition | undefined,
  context: HandlerContext,
  requests: Any[],
): Promise<ConformancePayload> {
  announce(definition, context);
  await delay(definition?.responseDelayMs);
  const info = requestInfo(context, requests);
  const { response } = definition ?? {};
  if (response?.case === "error") throw toError(response.value, [info]);
  return payload(response?.case === "responseData" ? response.value : new Uint8Array(), info);
}

interface Announced {
  readonly responseHeaders: Header[];
  readonly responseTrailers: Header[];
}

function announce(definition: Announced | undefined, { responseHeader, responseTrailer }: HandlerContext): void {
  for (const { name, value } of definition?.responseHeaders ?? []) {
    for (const v of value) responseHeader.append(name, v);
  }
  for (const { name, value } of definition?.responseTrailers ?? []) {
    for (const v of value) responseTrailer.append(name, v);
  }
}

/** @param sent answers before: a stream that fails without any tells of the request in the error */
function throwDefined(
  definition: StreamResponseDefinition | undefined,
  context: HandlerContext,
  requests: Any[],
  sent = definition?.responseData.length ?? 0,
): void {
  if (!definition?.error) return;
  throw toError(definition.error, sent === 0 ? [requestInfo(context, requests)] : []);
}

type RequestInfo = MessageShape<typeof ConformancePayload_RequestInfoSchema>;

function toError({ code, message, details }: ErrorDefinition, infos: RequestInfo[]): ConnectError {
  const error = new ConnectError(message ?? "", code as number);
  error.details = [
    ...details.map(({ typeUrl, value }) => ({ type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1), value })),
    ...infos.map((info) => ({ desc: ConformancePayload_RequestInfoSchema, value: info })),
  ];
  return error;
}

function payload(data: Uint8Array, info?: RequestInfo): ConformancePayload {
  return create(ConformancePayloadSchema, { data, requestInfo: info });
}

function requestInfo(context: HandlerContext, requests: Any[]): RequestInfo {
  const timeout = context.timeoutMs();
  const query = new URL(context.url).searchParams;
  return create(ConformancePayload_RequestInfoSchema, {
    requestHeaders: [...context.requestHeader].map(([name, value]) => toHeader(name, value)),
    timeoutMs: timeout === undefined ? undefined : BigInt(Math.round(timeout)),
    requests,
    connectGetInfo: context.requestMethod === "GET"
      ? { queryParams: [...query].map(([name, value]) => toHeader(name, value)) }
      : undefined,
  });
}

/** A header given more than once arrives joined by commas. */
function toHeader(name: string, value: string): Header {
  return create(HeaderSchema, { name, value: value.split(", ") });
}

function pack<D extends DescMessage>(schema: D, message: MessageShape<D> & Message): Any {
  return anyPack(schema, message);
}
