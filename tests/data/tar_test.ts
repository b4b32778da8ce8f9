import { assertEquals, assertRejects } from "@std/assert";
import { DatasetError } from "../../src/data/mod.ts";
import { readTar } from "../../src/data/readers/tar.ts";
import { concatenate, tar, tarMember } from "./fixtures.ts";

/** Chunks of a length that fits no block. */
function chunks(bytes: Uint8Array, length = 700): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.subarray(at, at + length));
      at += length;
    },
  });
}

async function listTar(bytes: Uint8Array): Promise<string[]> {
  const found: string[] = [];
  for await (const member of readTar(chunks(bytes))) {
    const parts = await Array.fromAsync(member.content);
    found.push(`${member.name}=${new TextDecoder().decode(concatenate(...parts))}${member.isFile ? "" : " (no file)"}`);
  }
  return found;
}

Deno.test("readTar() gives names and content in order", async () => {
  const long = "x".repeat(1300);
  const archive = tar(
    tarMember("a/", "", "5"),
    tarMember("a/one", "1"),
    tarMember("empty", ""),
    tarMember("long", long),
  );
  assertEquals(await listTar(archive), ["a/= (no file)", "a/one=1", "empty=", `long=${long}`]);
});

Deno.test("readTar() takes long names of pax and of GNU tar", async () => {
  const name = `deep/${"d".repeat(150)}/file`;
  const record = ` path=${name}\n`;
  const archive = tar(
    tarMember("pax", `${record.length + 3}${record}`, "x"),
    tarMember("short", "1"),
    tarMember("././@LongLink", `${name}\0`, "L"),
    tarMember("short", "2"),
    tarMember("plain", "3"),
  );
  assertEquals(await listTar(archive), [`${name}=1`, `${name}=2`, "plain=3"]);
});

Deno.test("readTar() skips what the caller leaves unread", async () => {
  const archive = tar(tarMember("one", "x".repeat(2000)), tarMember("two", "y".repeat(2000)), tarMember("three", "z"));
  const names: string[] = [];
  for await (const { name, content } of readTar(chunks(archive))) {
    names.push(name);
    if (name === "one") continue;
    for await (const _ of content) break;
  }
  assertEquals(names, ["one", "two", "three"]);
});

Deno.test("readTar() closes its input when the caller stops", async () => {
  let cancelled = false;
  const bytes = tar(tarMember("one", "1"), tarMember("two", "2"));
  const input = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(bytes),
    cancel: () => {
      cancelled = true;
    },
  });
  for await (const _ of readTar(input)) break;
  assertEquals(cancelled, true);
});

Deno.test("readTar() reads what the system's tar writes", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const name = "n".repeat(120);
    await Deno.writeTextFile(`${folder}/${name}`, "content");
    for (const format of ["gnu", "pax", "ustar"]) {
      const args = ["-C", folder, `--format=${format}`, "-cf", "-", format === "ustar" ? "." : name];
      if (format === "ustar") await Deno.rename(`${folder}/${name}`, `${folder}/short`);
      const { stdout } = await new Deno.Command("tar", { args }).output();
      const expected = format === "ustar" ? ["./= (no file)", "./short=content"] : [`${name}=content`];
      assertEquals(await listTar(stdout), expected);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("readTar() refuses damaged archives", async () => {
  const whole = tar(tarMember("one", "1"));
  const cases: [Uint8Array, string][] = [
    [whole.subarray(0, 1024), "Archive is truncated: it ends before its end mark"],
    [whole.subarray(0, 600), "Archive is truncated: it ends before its end mark"],
    [tar(tarMember("pax", "nonsense", "x")), "Archive is damaged: an extended header is not whole"],
    [tar(tarMember("pax", "999 path=a\n", "x"), tarMember("a", "")), "Archive is damaged: an extended header"],
    [tar(tarMember("pax", "10 size=-1\n", "x")), "Archive is damaged: an extended header"],
    [tar(tarMember("pax", "11 size=-1\n", "x")), "Archive is damaged: a member has no valid size"],
    [tar(tarMember("pax", "x".repeat(70_000), "x")), "Archive has an extended header of 70000 bytes"],
    [tar(tarMember("a/../../b", "1")), 'Archive has a member outside its folder: "a/../../b"'],
    [tar(tarMember("C:\\b", "1")), 'Archive has a member outside its folder: "C:\\\\b"'],
  ];
  for (const [bytes, message] of cases) await assertRejects(() => listTar(bytes), DatasetError, message);
});
