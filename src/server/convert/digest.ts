import { create, type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";

/** SHA-256 of a message as this server would write it, in hex: equal for equal messages. Undefined: the empty message. */
export async function digestOf<D extends DescMessage>(schema: D, message?: MessageShape<D>): Promise<string> {
  const bytes = toBinary(schema, message ?? create(schema));
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}
