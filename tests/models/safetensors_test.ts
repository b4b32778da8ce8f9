import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  CheckpointError,
  readSafetensors,
  type WritableTensor,
  writeSafetensors,
} from "../../src/models/checkpoints/safetensors.ts";

const everyDType: Record<string, WritableTensor> = {
  f64: { dtype: "F64", shape: [2, 2], data: new Float64Array([1.5, -2.25, 1e300, 0]) },
  f32: { dtype: "F32", shape: [3], data: new Float32Array([0.5, -1, 3e38]) },
  f16: { dtype: "F16", shape: [2], data: new Uint8Array([0x00, 0x3c, 0x00, 0xc0]) },
  i64: { dtype: "I64", shape: [2], data: new BigInt64Array([-(2n ** 62n), 2n ** 53n + 1n]) },
  i32: { dtype: "I32", shape: [2], data: new Int32Array([-(2 ** 31), 7]) },
  u32: { dtype: "U32", shape: [1], data: new Uint32Array([2 ** 32 - 1]) },
  u8: { dtype: "U8", shape: [1, 3], data: new Uint8Array([0, 127, 255]) },
  scalar: { dtype: "F32", shape: [], data: new Float32Array([42]) },
  empty: { dtype: "F32", shape: [0, 3], data: new Float32Array(0) },
  'ключ "k"': { dtype: "U8", shape: [1], data: new Uint8Array([9]) },
};

/** A file from a header's text or value and its data bytes; nothing is padded or checked. */
function fileOf(header: unknown, dataBytes = 0): Uint8Array {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const file = new Uint8Array(8 + text.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  return file;
}

function u8(begin: number, end: number) {
  return { dtype: "U8", shape: [end - begin], data_offsets: [begin, end] };
}

function assertUnreadable(file: Uint8Array, messageIncludes: string): void {
  assertThrows(() => readSafetensors(file), CheckpointError, messageIncludes);
}

Deno.test("readSafetensors() reads every dtype of a file that Python wrote", async () => {
  const bytes = await Deno.readFile(new URL("../golden/python.safetensors", import.meta.url));
  const { tensors, metadata } = readSafetensors(bytes);
  assertEquals({ ...tensors }, everyDType);
  assertEquals(JSON.parse(metadata.about).note, "größer");
});

Deno.test("readSafetensors() reads what writeSafetensors() wrote", () => {
  const metadata: Record<string, string> = { step: "250", note: 'a "quoted" \\ name', "größe": "" };
  const written = readSafetensors(writeSafetensors(everyDType, metadata));
  assertEquals({ ...written.tensors }, everyDType);
  assertEquals({ ...written.metadata }, metadata);
  const empty = readSafetensors(writeSafetensors({}));
  assertEquals(empty, { tensors: {}, metadata: {} });
});

Deno.test("readSafetensors() reads bytes from within a larger buffer, and copies them", () => {
  const file = writeSafetensors({ a: { dtype: "F32", shape: [2], data: new Float32Array([1, 2]) } });
  const buffer = new Uint8Array(file.length + 10);
  buffer.set(file, 3);
  const { a } = readSafetensors(buffer.subarray(3, 3 + file.length)).tensors;
  buffer.fill(0);
  assertEquals([...a.data], [1, 2]);
});

Deno.test("readSafetensors() keeps names that mean something to JavaScript", () => {
  const one = { dtype: "U8", shape: [1], data: new Uint8Array([1]) } as const;
  const tensors = Object.fromEntries(["__proto__", "constructor", "0"].map((name) => [name, one]));
  const read = readSafetensors(writeSafetensors(tensors)).tensors;
  assertEquals(Object.keys(read).sort(), ["0", "__proto__", "constructor"]);
});

Deno.test("readSafetensors() reads a header with megabytes of one name", () => {
  for (const name of ["a".repeat(4_000_000), '\\"'.repeat(1_000_000)]) {
    const file = writeSafetensors({ [name]: { dtype: "U8", shape: [1], data: new Uint8Array([7]) } });
    assertEquals(Object.keys(readSafetensors(file).tensors), [name]);
  }
});

Deno.test("writeSafetensors() gives equal bytes for equal content in another order", () => {
  const reversed = Object.fromEntries(Object.entries(everyDType).reverse());
  assertEquals(
    writeSafetensors(reversed, { b: "2", a: "1" }),
    writeSafetensors(everyDType, { a: "1", b: "2" }),
  );
});

Deno.test("writeSafetensors() aligns the data to 8 bytes and every tensor to its element", () => {
  const file = writeSafetensors(everyDType, { odd: "length" });
  const headerBytes = Number(new DataView(file.buffer).getBigUint64(0, true));
  assertEquals(headerBytes % 8, 0);
  const header: Record<string, { dtype: string; data_offsets: [number, number] }> = JSON.parse(
    new TextDecoder().decode(file.subarray(8, 8 + headerBytes)),
  );
  for (const [name, { dtype, data_offsets: [begin] }] of Object.entries(header).filter(([, entry]) => entry.dtype)) {
    assertEquals(begin % (Number(dtype.slice(1)) / 8), 0, name);
  }
});

Deno.test("writeSafetensors() takes raw bytes for any dtype", () => {
  const data = new Uint8Array(new Float32Array([1, -2]).buffer);
  const { a } = readSafetensors(writeSafetensors({ a: { dtype: "F32", shape: [2], data } })).tensors;
  assertEquals(a.data, new Float32Array([1, -2]));
});

Deno.test("writeSafetensors() rejects data that does not fill its shape, and a reserved name", () => {
  const data = new Float32Array(5);
  assertThrows(
    () => writeSafetensors({ "head.linear.weight": { dtype: "F32", shape: [2, 3], data } }),
    CheckpointError,
    'Cannot write tensor "head.linear.weight": F32 of shape [2,3] takes 24 bytes, got 20',
  );
  for (const shape of [[-5, -1], [2.5, 2]]) {
    assertThrows(() => writeSafetensors({ a: { dtype: "F32", shape, data } }), CheckpointError, 'tensor "a"');
  }
  assertThrows(
    () => writeSafetensors({ __metadata__: { dtype: "F32", shape: [5], data } }),
    CheckpointError,
    "keeps this name",
  );
});

Deno.test("readSafetensors() rejects a file cut anywhere", () => {
  const file = writeSafetensors({ a: { dtype: "F32", shape: [3], data: new Float32Array(3) } }, { step: "1" });
  for (let length = 0; length < file.length; length++) {
    assertThrows(
      () => readSafetensors(file.subarray(0, length)),
      CheckpointError,
      "Cannot read the safetensors file: ",
    );
  }
});

Deno.test("readSafetensors() rejects a wrong header length", () => {
  const file = fileOf({});
  new DataView(file.buffer).setBigUint64(0, 2n ** 63n, true);
  assertUnreadable(file, "its header claims 9223372036854775808 bytes, the format allows at most 100000000");
  new DataView(file.buffer).setBigUint64(0, 3n, true);
  assertUnreadable(file, "its header claims 3 bytes, only 2 follow");
});

Deno.test("readSafetensors() rejects a header that is not a JSON object", () => {
  assertUnreadable(fileOf('{"a": '), "its header is not JSON in UTF-8");
  assertUnreadable(fileOf("\ufeff{}"), "its header is not JSON in UTF-8");
  assertUnreadable(fileOf(""), "its header is not JSON in UTF-8");
  const invalidText = fileOf('{"a":"?"}');
  invalidText[8 + 6] = 0xff;
  assertUnreadable(invalidText, "its header is not JSON in UTF-8");
  for (const header of ["[]", "1", "null", '"text"', " {}"]) assertUnreadable(fileOf(header), "not a JSON object");
});

Deno.test("readSafetensors() rejects duplicate names wherever they are", () => {
  const entry = JSON.stringify(u8(0, 1));
  assertUnreadable(fileOf(`{"a":${entry},"a":${entry}}`, 1), 'the name "a" twice');
  assertUnreadable(fileOf(`{"a":${entry},"\\u0061" : ${entry}}`, 1), 'the name "a" twice');
  assertUnreadable(fileOf('{"a":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}}', 1), '"shape" twice');
  assertUnreadable(fileOf('{"__metadata__":{"k":"1","k":"2"}}'), '"k" twice');
  // Equal values, and equal names of different objects, are no duplicates.
  const { tensors } = readSafetensors(fileOf({ __metadata__: { a: "a", b: "a" }, a: u8(0, 1), b: u8(1, 2) }, 2));
  assertEquals(Object.keys(tensors), ["a", "b"]);
});

Deno.test("readSafetensors() rejects entries with wrong fields, naming the tensor", () => {
  const entries: [unknown, string][] = [
    [7, "its header entry is not an object"],
    [
      { ...u8(0, 1), dtype: "F8_E4M3" },
      'its dtype is "F8_E4M3", expected one of F64, I64, F32, I32, U32, F16, BF16, U8',
    ],
    [{ ...u8(0, 1), dtype: "toString" }, 'its dtype is "toString"'],
    [{ ...u8(0, 1), dtype: undefined }, "its dtype is undefined"],
    [{ ...u8(0, 1), shape: 1 }, "its shape is 1, expected an array of whole numbers"],
    [{ ...u8(0, 1), shape: [-1] }, "its shape is [-1]"],
    [{ ...u8(0, 1), shape: [1.5] }, "its shape is [1.5]"],
    [{ ...u8(0, 1), shape: ["1"] }, 'its shape is ["1"]'],
    [{ ...u8(0, 1), data_offsets: [0] }, "its data_offsets are [0], expected two whole numbers"],
    [{ ...u8(0, 1), data_offsets: [-1, 0] }, "its data_offsets are [-1,0]"],
    [{ ...u8(0, 1), data_offsets: [1, 0] }, "its data_offsets [1,0] are out of range: 1 bytes of data follow"],
    [{ ...u8(0, 1), data_offsets: [0, 2] }, "its data_offsets [0,2] are out of range: 1 bytes of data follow"],
    [{ ...u8(0, 1), shape: [2] }, "U8 of shape [2] takes 2 bytes, its data_offsets span 1"],
    [{ ...u8(0, 1), dtype: "F32" }, "F32 of shape [1] takes 4 bytes, its data_offsets span 1"],
    [{ ...u8(0, 1), shape: [2 ** 52, 2 ** 52] }, "U8 of shape [4503599627370496,4503599627370496] takes 2.028"],
  ];
  for (const [entry, message] of entries) {
    assertUnreadable(fileOf({ "stem.conv.weight": entry }, 1), `tensor "stem.conv.weight": ${message}`);
  }
});

Deno.test("readSafetensors() rejects overlaps, gaps and bytes left over", () => {
  assertUnreadable(fileOf({ a: u8(0, 3), b: u8(2, 4) }, 4), 'tensor "b": it starts at byte 2, within tensor "a"');
  assertUnreadable(fileOf({ a: u8(0, 2), b: u8(0, 2) }, 2), 'tensor "b": it starts at byte 0, within tensor "a"');
  assertUnreadable(fileOf({ a: u8(0, 1), b: u8(2, 4) }, 4), 'tensor "b": bytes 1 to 2 before it belong to no tensor');
  assertUnreadable(fileOf({ a: u8(1, 4) }, 4), 'tensor "a": bytes 0 to 1 before it belong to no tensor');
  assertUnreadable(fileOf({ a: u8(0, 3) }, 4), "its last 1 bytes belong to no tensor");
  assertUnreadable(fileOf({}, 2), "its last 2 bytes belong to no tensor");
  const { tensors } = readSafetensors(fileOf({ b: u8(2, 4), empty: u8(2, 2), a: u8(0, 2) }, 4));
  assertEquals(Object.keys(tensors), ["a", "empty", "b"]);
});

Deno.test("readSafetensors() rejects metadata that is not text by name", () => {
  assertUnreadable(fileOf({ __metadata__: [] }), "its __metadata__ is not an object");
  assertUnreadable(fileOf({ __metadata__: null }), "its __metadata__ is not an object");
  assertUnreadable(fileOf({ __metadata__: { step: 250 } }), 'its __metadata__ "step" is not a string');
});

Deno.test("readSafetensors() either reads a file with one byte changed or throws a CheckpointError", () => {
  const file = writeSafetensors(everyDType, { step: "250" });
  let rejected = 0;
  for (let at = 0; at < file.length; at++) {
    for (const flip of [0x01, 0x10, 0x80]) {
      const damaged = file.slice();
      damaged[at] ^= flip;
      try {
        readSafetensors(damaged);
      } catch (error) {
        assert(error instanceof CheckpointError, `Byte ${at}: ${error}`);
        rejected++;
      }
    }
  }
  assert(rejected > 0);
});
