import { join } from "node:path";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { startTestServer } from "../support/test_server.ts";
import { jsonLines, runCommand } from "./harness.ts";

Deno.test("runs plot draws runs into one file, or leaves what was there", async () => {
  await using server = await startTestServer({ fake: { everyEpoch: true } });
  const run = (line: string) => runCommand(line.split(" "), { server: server.address });
  for (const seed of [1, 2]) await run(`train --model lm-resnet-20 --dataset digits --epochs 3 --seed ${seed}`);
  const [newest, oldest] = jsonLines(await run("runs list --json")).map(({ name }) => String(name));
  const output = join(server.dataDir, "curves.svg");
  const [told] = jsonLines(await run(`runs plot latest ${oldest} --output ${output} --json`));
  assertEquals(told, { output, runs: [newest, oldest] });
  const svg = await Deno.readTextFile(output);
  for (const name of [newest, oldest]) assertStringIncludes(svg, `lm-resnet-20 (${name.replace("runs/", "")})`);

  server.engine.options.stepTime = 60_000;
  const [{ run: begun }] = jsonLines(await run("train --model lm-resnet-20 --dataset digits --detach --json"));
  for (
    const [given, words] of [
      ["runs/nothing", 'There is no run "runs/nothing"'],
      [begun, `Cannot draw ${begun}: it has no training step behind it yet`],
    ]
  ) {
    const { code, stdout, stderr } = await run(`runs plot ${oldest} ${given} --output ${output}`);
    assertEquals([code, stdout, await Deno.readTextFile(output)], [1, "", svg]);
    assertStringIncludes(stderr, String(words));
  }
  await run(`runs cancel ${begun}`);
});
