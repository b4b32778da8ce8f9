/**
 * Protobuf messages as the command line's JSON: the fields' names as in the
 * .proto files, numbers as numbers (protobuf's own JSON makes 64-bit ones
 * strings), enum values without their prefix ("RUNNING"), and fields at their
 * defaults included, so that a script need not know what may be missing.
 * Messages and optional fields that are not set are left out.
 */
import type { DescEnum, DescField, DescMessage, MessageShape } from "@bufbuild/protobuf";
import { isReflectMessage, reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import { type Timestamp, timestampDate, TimestampSchema } from "@bufbuild/protobuf/wkt";

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  /** Undefined: left out. */
  readonly [key: string]: JsonValue | undefined;
}

export function messageToJson<D extends DescMessage>(schema: D, message: MessageShape<D>): JsonObject {
  return reflectToJson(reflect(schema, message));
}

/** "RUNNING" for RUN_STATE_RUNNING; the number for a value this client does not know. */
export function enumName(schema: DescEnum, value: number): string {
  return schema.value[value]?.localName ?? String(value);
}

function reflectToJson(message: ReflectMessage): JsonObject {
  const json: Record<string, JsonValue> = {};
  for (const field of message.fields) {
    const tracked = field.oneof !== undefined || field.fieldKind === "message" || field.proto.proto3Optional;
    if (tracked && !message.isSet(field)) continue;
    json[field.name] = fieldToJson(message, field);
  }
  return json;
}

function fieldToJson(message: ReflectMessage, field: DescField): JsonValue {
  switch (field.fieldKind) {
    case "list":
      return [...message.get(field)].map((item) => valueToJson(item, field.enum));
    case "map":
      return Object.fromEntries([...message.get(field)].map(([key, value]) => [
        String(key),
        valueToJson(value, field.enum),
      ]));
    default:
      return valueToJson(message.get(field), field.enum);
  }
}

function valueToJson(value: unknown, enumSchema: DescEnum | undefined): JsonValue {
  if (isReflectMessage(value)) {
    return value.desc.typeName === TimestampSchema.typeName
      ? timestampDate(value.message as Timestamp).toISOString()
      : reflectToJson(value);
  }
  if (enumSchema !== undefined) return enumName(enumSchema, Number(value));
  return scalarToJson(value as ScalarValue);
}

type ScalarValue = string | number | boolean | bigint | Uint8Array;

/** A loss that is no number any more has no JSON number: it is "NaN" or "Infinity", as in protobuf's JSON. */
function scalarToJson(value: ScalarValue): JsonValue {
  if (typeof value === "bigint") return Number(value);
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  if (value instanceof Uint8Array) return value.toBase64();
  return value;
}
