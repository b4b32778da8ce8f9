/** The training benchmark on a small network, through to the trace. */
import { assert, assertEquals } from "@std/assert";
import { benchTrain } from "../../bench/network.ts";
import { NetworkSession } from "../../bench/network_session.ts";
import { timeStep } from "../../bench/step_timeline.ts";
import { toTraceFile } from "../../bench/trace_events.ts";
import { checkTraceFile } from "./trace_file.ts";

const network = {
  model: "lm-resnet-14",
  batchSize: 4,
  image: { height: 28, width: 28, channels: 1 },
  classes: 10,
  precision: "f32",
} as const;

Deno.test("benchTrain() tells speed and JavaScript, and traces one step", async () => {
  const folder = await Deno.makeTempDir({ prefix: "multistep-trace-" });
  const trace = `${folder}/step.json`;
  const notes: string[] = [];
  try {
    const measurements = await Array.fromAsync(benchTrain({
      ...network,
      runs: 1,
      matches: () => true,
      signal: new AbortController().signal,
      trace,
      tune: "off",
      dataDir: folder,
      warn: () => {},
      note: (line) => notes.push(line),
    }));
    const [ceiling, { unit, median, details }] = measurements;
    assert(ceiling.case === "multiply-add ceiling" && ceiling.median > 0);
    assert(unit === "images/s" && median > 0 && details);
    assertEquals(details.submits_per_step, 1);
    assert(Number(details.javascript_ms) > 0);
    assert(Number(details.data_wait_share) >= 0 && Number(details.data_wait_share) < 1);
    assert(Number(details.share_of_ceiling) > 0 && Number(details.share_of_ceiling) < 1);

    const file = JSON.parse(await Deno.readTextFile(trace));
    checkTraceFile(file);
    const names = file.traceEvents.filter(({ tid, ph }: { tid: number; ph: string }) => tid === 2 && ph === "X");
    assertEquals(names.length, details.dispatches);
    assert(names.some(({ args }: { args: { place: string } }) => args.place === "stage1.block0.conv1"));
    assert(notes.some((line) => line.includes("conv2d_backward_weight")));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("timeStep() times every dispatch without time stamps too", async () => {
  const { signal } = new AbortController();
  const options = { ...network, tune: "off", dataDir: ".", warn: () => {}, signal } as const;
  const session = await NetworkSession.open(options, "train");
  try {
    const timeline = await timeStep(session, { clock: "wall clock", nanosecondsPerTick: undefined });
    assertEquals(timeline.dispatches.length, session.runner.execution.kernels.length);
    assert(timeline.dispatches.some(({ duration }) => duration > 0));
    checkTraceFile(toTraceFile(timeline));
  } finally {
    session.destroy();
  }
});
