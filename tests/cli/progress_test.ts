import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { createProgress } from "../../src/cli/progress.ts";

function collect(isTerminal: boolean, columns = 80) {
  const written: string[] = [];
  const progress = createProgress({ write: (text) => written.push(text), isTerminal, columns });
  return { written, progress };
}

Deno.test("createProgress() without a terminal writes plain lines, few of them", () => {
  const { written, progress } = collect(false);
  for (let done = 0; done <= 1000; done++) progress.update({ done, total: 1000, text: `step ${done}/1000` });
  progress.note("a note");
  progress.stop();
  assertEquals(written, ["0% step 0/1000\n", "a note\n"]);
});

Deno.test("createProgress() on a terminal draws a bar of the terminal's width at most, few times a second", () => {
  const { written, progress } = collect(true, 40);
  for (let done = 0; done <= 1000; done++) {
    progress.update({ done: 500, total: 1000, text: `a text that is far too long for the line, step ${done}` });
  }
  assert(written.length < 20);
  const [bar] = written;
  assertStringIncludes(bar, "[####....]  50% a text");
  assertEquals(bar.replace("\r", "").replace("\x1b[K", "").length, 39);
});

Deno.test("createProgress() on a terminal puts notes above the bar and takes the bar away in the end", () => {
  const { written, progress } = collect(true);
  progress.note("before");
  progress.update({ done: 1, total: 2, text: "half" });
  progress.note("between");
  progress.stop();
  progress.stop();
  const bar = `[${"#".repeat(12)}${".".repeat(12)}]  50% half`;
  assertEquals(written, ["before\n", `\r${bar}\x1b[K`, `\r\x1b[Kbetween\n${bar}`, "\r\x1b[K"]);
});

Deno.test("createProgress() shows no percentage of an unknown total", () => {
  const { written, progress } = collect(false);
  progress.update({ done: 5, total: 0, text: "working" });
  assert(written[0] === "working\n");
});
