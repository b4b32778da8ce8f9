import { create, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";

/** A message of the usual fields with some changed. */
export function build<D extends DescMessage>(
  schema: D,
  usual: MessageInitShape<D>,
  changes: MessageInitShape<D>,
): MessageShape<D> {
  return create(schema, { ...usual, ...changes } as MessageInitShape<D>);
}
