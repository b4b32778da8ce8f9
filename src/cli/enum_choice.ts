/** Protobuf enums as option values, so that a value added to the .proto file is an option value at once. */
import type { DescEnum } from "@bufbuild/protobuf";
import { choice, type ValueKind } from "./values.ts";

/** PROJECT_BOTH is written "project-both", in any case; the unspecified value 0 cannot be written. */
export function enumChoice(schema: DescEnum): ValueKind<number> {
  const values = schema.values.filter((value) => value.number !== 0);
  const word = (localName: string) => localName.toLowerCase().replaceAll("_", "-");
  const words = choice(values.map((value) => word(value.localName)));
  return {
    placeholder: words.placeholder,
    read(text) {
      const read = words.read(text.toLowerCase());
      return values.find((value) => word(value.localName) === read)?.number ?? 0;
    },
  };
}
