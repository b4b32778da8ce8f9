import { assertEquals } from "@std/assert";
import { type StepTimeline, timeByKind } from "../../bench/step_timeline.ts";
import { toTraceFile } from "../../bench/trace_events.ts";
import { checkTraceFile } from "./trace_file.ts";

const timeline: StepTimeline = {
  title: "lm-resnet-20 batch 64",
  adapter: "llvmpipe",
  clock: "timestamp-query",
  host: [{ name: "encode", start: 0, duration: 900 }, { name: "submit", start: 900, duration: 80 }],
  dispatches: [
    { name: "conv2d 3x3", kind: "conv2d", place: "stem.conv", workgroups: [8, 64, 1], start: 950, duration: 300 },
    { name: "sgd", kind: "sgd", place: "all parameters", workgroups: [4, 1, 1], start: 1300, duration: 60.5 },
    { name: "conv2d 1x1", kind: "conv2d", place: "head", workgroups: [1, 1, 1], start: 1400, duration: 39.5 },
  ],
};

Deno.test("toTraceFile() writes what the Trace Event Format asks for", () => {
  const file = JSON.parse(JSON.stringify(toTraceFile(timeline)));
  checkTraceFile(file);
  const complete = file.traceEvents.filter(({ ph }: { ph: string }) => ph === "X");
  assertEquals(complete.length, 5);
  assertEquals(complete[2], {
    ph: "X",
    name: "conv2d 3x3",
    cat: "conv2d",
    ts: 950,
    dur: 300,
    pid: 1,
    tid: 2,
    args: { place: "stem.conv", dispatch: 0, workgroups: "8 x 64 x 1" },
  });
  const tracks = file.traceEvents.filter(({ name }: { name: string }) => name === "thread_name");
  assertEquals(tracks.map(({ tid, args }: { tid: number; args: { name: string } }) => [tid, args.name]), [
    [1, "JavaScript"],
    [2, "GPU: llvmpipe"],
  ]);
});

Deno.test("timeByKind() sums a step's dispatches, most time first", () => {
  assertEquals(timeByKind(timeline), [
    { kind: "conv2d", milliseconds: 0.3395, share: 0.84875, dispatches: 2 },
    { kind: "sgd", milliseconds: 0.0605, share: 0.15125, dispatches: 1 },
  ]);
});
