import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type Choice, Choices } from "../../../src/gpu/tune/mod.ts";

const subject = {
  adapter: { vendor: "1", architecture: "", device: "0", description: "Test GPU (1.2)", subgroupSize: 32 },
  drivers: ["libvulkan_test.so, 5 bytes"],
  version: "1.0.0",
};
const choice: Choice = { chosen: "b", milliseconds: { a: 2, b: 1 }, dropped: { c: "it is wrong" } };

async function withFolder(run: (folder: string, warnings: string[]) => Promise<void>): Promise<void> {
  const parent = await Deno.makeTempDir({ prefix: "multistep-tuning-" });
  try {
    await run(`${parent}/tuning`, []);
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
}

const namesIn = (folder: string) => [...Deno.readDirSync(folder)].map(({ name }) => name);

Deno.test("Choices keeps what was chosen from one start to the next", async () => {
  await withFolder(async (folder, warnings) => {
    const warn = (message: string) => warnings.push(message);
    const first = await Choices.open(folder, subject, warn);
    assertEquals(first.get("key"), undefined);
    await Promise.all([first.add("key", choice), first.add("other", { ...choice, chosen: "a" })]);
    const second = await Choices.open(folder, subject, warn);
    assertEquals(second.get("key"), choice);
    assertEquals(second.get("other")?.chosen, "a");
    const [name, ...more] = namesIn(folder);
    assert(/^test-gpu-1-2-[0-9a-f]{8}\.json$/.test(name), name);
    assertEquals([more, warnings], [[], []]);
  });
});

Deno.test("Choices never changes a choice, and keeps what another process adds", async () => {
  await withFolder(async (folder) => {
    const [a, b] = [await Choices.open(folder, subject, () => {}), await Choices.open(folder, subject, () => {})];
    await a.add("of a", choice);
    await b.add("of b", choice);
    await b.add("of a", { ...choice, chosen: "a" });
    await a.add("of a", { ...choice, chosen: "a" });
    assertEquals(a.get("of a"), choice);
    const after = await Choices.open(folder, subject, () => {});
    assertEquals(after.get("of b"), choice);
    assert(after.get("of a"));
  });
});

Deno.test("Choices holds for one adapter, driver and version", async () => {
  await withFolder(async (folder) => {
    await (await Choices.open(folder, subject, () => {})).add("key", choice);
    const others = [
      { ...subject, version: "1.0.1" },
      { ...subject, drivers: ["libvulkan_test.so, 6 bytes"] },
      { ...subject, adapter: { ...subject.adapter, subgroupSize: 16 } },
    ];
    for (const other of others) {
      assertEquals((await Choices.open(folder, other, () => {})).get("key"), undefined);
    }
  });
});

Deno.test("Choices ignores a damaged or foreign file with one warning and writes it anew", async () => {
  await withFolder(async (folder) => {
    await (await Choices.open(folder, subject, () => {})).add("key", choice);
    const path = `${folder}/${namesIn(folder)[0]}`;
    const good = await Deno.readTextFile(path);
    const damages: Record<string, string> = {
      "is no JSON": good.slice(0, -20),
      "is no JSON object": "[]",
      "is no table of choices of this version": good.replace("multistep tuning 1", "something else"),
      "holds for another adapter, driver or version": good.replace("1.0.0", "2.0.0"),
      'is damaged at "key"': good.replace('"chosen"', '"shosen"'),
    };
    for (const [reason, text] of Object.entries(damages)) {
      await Deno.writeTextFile(path, text);
      const warnings: string[] = [];
      const choices = await Choices.open(folder, subject, (message) => warnings.push(message));
      assertEquals(choices.get("key"), undefined);
      await choices.add("new", choice);
      assertEquals(warnings.length, 1);
      assertStringIncludes(warnings[0], reason);
      const after = await Choices.open(folder, subject, (message) => warnings.push(message));
      assertEquals([after.get("key"), after.get("new"), warnings.length], [undefined, choice, 1]);
    }
  });
});
