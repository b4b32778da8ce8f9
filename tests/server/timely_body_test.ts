import { Code, ConnectError } from "@connectrpc/connect";
import { assertEquals, assertRejects } from "@std/assert";
import { timely } from "../../src/server/timely_body.ts";

const delay = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Chunks with pauses before them, in milliseconds. */
async function* arriving(...parts: readonly (number | readonly number[])[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) {
    if (typeof part === "number") await delay(part);
    else yield Uint8Array.from(part);
  }
}

async function read(body: AsyncIterable<Uint8Array>): Promise<number[]> {
  const bytes: number[] = [];
  for await (const chunk of body) bytes.push(...chunk);
  return bytes;
}

/** Two bytes after their header. */
const message = [0, 0, 0, 0, 2, 7, 8];

Deno.test("timely() passes a body on, cut anywhere", async () => {
  const body = arriving(message.slice(0, 3), message.slice(3, 6), [...message.slice(6), ...message]);
  assertEquals(await read(timely(body, { timeout: 100, stream: true })), [...message, ...message]);
});

Deno.test("timely() lets a stream be silent between messages, empty ones too", async () => {
  const body = arriving(message, 150, [0, 0, 0, 0, 0], 150, message);
  assertEquals((await read(timely(body, { timeout: 50, stream: true }))).length, 19);
});

Deno.test("timely() ends a stream within a message, and any other body, that is late", async () => {
  const cases = [
    { body: arriving(message.slice(0, 3), 500, message.slice(3)), stream: true },
    { body: arriving(message.slice(0, 6), 500, message.slice(6)), stream: true },
    { body: arriving([1], 30, [1], 30, [1], 500), stream: false },
    { body: arriving(500), stream: false },
  ];
  for (const { body, stream } of cases) {
    const error = await assertRejects(() => read(timely(body, { timeout: 50, stream })), ConnectError, "within 0.05 s");
    assertEquals(error.code, Code.DeadlineExceeded);
  }
});

Deno.test("timely() does not count the time that its reader takes", async () => {
  const body = timely(arriving(message.slice(0, 3), message.slice(3)), { timeout: 50, stream: true });
  for await (const _ of body) await delay(100);
});

Deno.test("timely() tells of a request that is cut short without the words of the machine", async () => {
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield Uint8Array.of(0);
    throw new Error("Premature close");
  }
  const error = await assertRejects(() => read(timely(broken(), { timeout: 50, stream: false })), ConnectError);
  assertEquals([error.code, error.rawMessage], [Code.Canceled, "The request was cut short"]);
});
