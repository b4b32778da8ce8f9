import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { analysisLines } from "../../src/cli/analysis/analysis_lines.ts";
import { drawCoefficients } from "../../src/cli/analysis/draw_coefficients.ts";
import { AnalyzeModelResponseSchema, type BlockStep, BlockStepSchema } from "../../src/gen/mod.ts";
import { startTestServer } from "../support/test_server.ts";
import { startFakeServer } from "./fake_server.ts";
import { jsonLines, runCommand } from "./harness.ts";

/** A block of this k, the first one of its stage without. */
function block(step: number, k?: number, { stage = 1, channels = 1 } = {}): BlockStep {
  return create(BlockStepSchema, {
    name: `stage${stage}.block${step}`,
    stage,
    step,
    k: k === undefined ? undefined : {
      mean: k,
      minimum: k - (channels > 1 ? 0.5 : 0),
      maximum: k,
      channels,
      effectiveStep: k === -1 ? undefined : 1 / (1 + k),
      acceleration: (1 - k) / 2,
      stableChannels: k > -1 ? channels : 0,
      zeroStable: k > -1,
    },
  });
}

const blocks = [block(1), block(2, 0.3), block(3, -1), block(4, undefined, { stage: 2 }), block(5, 0.7, { stage: 2 })];

Deno.test("models analyze shows the newest checkpoint of a run, or every one, and draws them", async () => {
  await using server = await startTestServer({ fake: { everyEpoch: true } });
  const run = (line: string) => runCommand(line.split(" "), { server: server.address });
  await run("train --model lm-resnet-20 --dataset digits --epochs 3");
  const output = join(server.dataDir, "k.svg");
  const { stdout } = await run(`models analyze latest --output ${output}`);
  assertMatch(
    stdout,
    /^checkpoint: +runs\/\w+\/checkpoints\/.+ \(step 4\)\nmodel: +lm-resnet-20\nweights: +as trained\n/,
  );
  assertMatch(stdout, /\nstage1\.block0 +1 +1 +1\.000 +0\.500 +yes \(forward Euler\)\n/);
  assertMatch(stdout, /\nstage1\.block1 +1 +2 +0\.2500 +0\.800 +0\.375 +yes\n/);
  assertStringIncludes(stdout, `Drew k to ${output}`);
  assertMatch(await Deno.readTextFile(output), /^<svg .*lm-resnet-20 \(\w+, step-\d+\)/s);

  const all = jsonLines(await run("models analyze latest --all-checkpoints --json"));
  const [{ checkpoints }] = jsonLines(await run("runs list --json"));
  const paths = (checkpoints as { path: string }[]).map(({ path }) => path);
  assert(paths.length > 1);
  assertEquals(all.map(({ checkpoint }) => checkpoint), paths);
  const [one] = jsonLines(await run(`models analyze ${paths[0]} --json`));
  assertEquals(one, all[0]);
  assertEquals((one.blocks as { k?: { effective_step: number } }[]).map(({ k }) => k?.effective_step), [
    undefined,
    0.8,
  ]);
});

Deno.test("models analyze says of other schemes what is constant, and draws nothing", async () => {
  const server = await startFakeServer({});
  const run = (line: string) => runCommand(line.split(" "), { server: server.address });
  try {
    const { stdout } = await run("models analyze some/file.safetensors");
    assertStringIncludes(stdout, "forward Euler: u + f(u)");
    assertStringIncludes(
      stdout,
      "The scheme learns no coefficients: all of this holds of every network that steps by it.",
    );
    const drawn = await run("models analyze some/file.safetensors --output k.svg");
    assertEquals([drawn.code, drawn.stdout], [1, ""]);
    const words = "Cannot draw some/file.safetensors: no block of it learned a k, its scheme is forward Euler";
    assertStringIncludes(drawn.stderr, words);
  } finally {
    await server.close();
  }
});

Deno.test("models schemes lists them with their measured order", async () => {
  const server = await startFakeServer({});
  try {
    const { stdout } = await runCommand(["models", "schemes"], { server: server.address });
    assertMatch(stdout, /\nmidpoint +u_previous \+ 2 f\(u\) +2 +2\.00 +yes +1, -1 +Chang et al\. 2017\n$/);
  } finally {
    await server.close();
  }
});

Deno.test("analysisLines() shows the channels' least and most where they have a k each", () => {
  const scheme = { name: "linear multi-step", order: 1 };
  const lines = (own: readonly BlockStep[]) =>
    analysisLines(create(AnalyzeModelResponseSchema, { scheme, blocks: [...own], movingAverage: true }));
  assertStringIncludes(lines(blocks).join("\n"), "their moving average");
  assertStringIncludes(lines(blocks).join("\n"), "2 of 3 blocks with a k");
  assertMatch(lines(blocks).at(-3) ?? "", /stage1\.block3 +1 +3 +-1\.0000 +none +1\.000 +no$/);
  const [titles, euler, wide] = lines([block(1), block(2, -1.5, { channels: 16 })]).slice(-3);
  assertMatch(titles, /K +LEAST +MOST +EFFECTIVE STEP/);
  assertMatch(euler, /1 +1\.000 +0\.500 +yes/);
  assertMatch(wide, /-1\.5000 +-2\.0000 +-1\.5000 +-2\.000 +1\.250 +0 of 16 channels$/);
});

Deno.test("drawCoefficients() joins the blocks of a stage, and leaves out an effective step that there is not", async () => {
  const svg = await drawCoefficients("k & more", [{ label: "a", blocks }]);
  assertMatch(svg, /^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/);
  for (const text of ["k &amp; more", "effective step 1 / (1 + k)", "acceleration (1 - k) / 2", "block"]) {
    assertStringIncludes(svg, text);
  }
  const symbols = [...svg.matchAll(/<path aria-roledescription="symbol"|class="mark-symbol role-mark/g)];
  assertEquals(symbols.length, 3);
  for (const word of ["NaN", "undefined", "Infinity"]) assertEquals(svg.includes(word), false, word);
  assertEquals(/role-legend/.test(svg), false);
  const two = await drawCoefficients("two", [{ label: "first", blocks }, { label: "second", blocks }]);
  for (const label of ["first", "second"]) assertStringIncludes(two, `>${label}</text>`);
});
