import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { assert, assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import type { Facts } from "../../src/cli/reproduce/facts.ts";
import { type RunOutcome, statisticsOf } from "../../src/cli/reproduce/outcomes.ts";
import { type Plan, type PlannedRun, plannedRuns, planRuns } from "../../src/cli/reproduce/plan.ts";
import { buildReport, type Report } from "../../src/cli/reproduce/report.ts";
import { reportMarkdown } from "../../src/cli/reproduce/report_markdown.ts";
import { cifar100Resnext, cifar10Depth, type Table } from "../../src/cli/reproduce/tables.ts";
import {
  DatasetSchema,
  GetServerInfoResponseSchema,
  ModelDescriptionSchema,
  RunSchema,
  RunState,
} from "../../src/gen/mod.ts";

const updated = new Date("2026-02-03T04:05:06.000Z");

function factsOf(plan: Plan): Facts {
  return {
    server: create(GetServerInfoResponseSchema, {
      version: "0.2.0",
      denoVersion: "2.9.3",
      adapter: { vendor: "mesa", description: "llvmpipe", software: true, features: ["subgroups"] },
    }),
    dataset: create(DatasetSchema, {
      name: plan.dataset,
      classNames: Array.from({ length: 10 }, String),
      trainImages: 50_000,
      testImages: 10_000,
    }),
    models: new Map(plan.networks.map(({ network: { model: name } }) => [
      name,
      create(ModelDescriptionSchema, { name, scheme: "a scheme", parameters: 272_378n, multiplyAdds: 40_000_000n }),
    ])),
  };
}

interface Ending {
  readonly top1: number;
  readonly imagesPerSecond?: number;
  readonly state?: RunState;
}

function finished(
  planned: PlannedRun,
  { top1, imagesPerSecond = 100, state = RunState.SUCCEEDED }: Ending,
): RunOutcome {
  const run = create(RunSchema, {
    name: `runs/${planned.model}-${planned.seed}`,
    state,
    statusMessage: state === RunState.FAILED ? "The loss became NaN" : "",
    config: planned.config,
    startTime: timestampFromDate(new Date("2026-02-03T03:00:00Z")),
    endTime: timestampFromDate(new Date("2026-02-03T04:02:00Z")),
    evaluation: { loss: 0.5, top1, top5: 1, images: 10_000 },
  });
  return { planned, run, curve: { training: [], evaluation: [], imagesPerSecond } };
}

async function reportOf(
  table: Table,
  options: { readonly rows: readonly string[]; readonly seeds: number },
  outcomeOf: (planned: PlannedRun, index: number) => RunOutcome | undefined,
): Promise<Report> {
  const plan = await planRuns(table, options);
  const outcomes = new Map<string, RunOutcome>();
  for (const [index, planned] of plannedRuns(plan).entries()) {
    const outcome = outcomeOf(planned, index);
    if (outcome) outcomes.set(planned.requestId, outcome);
  }
  const context = { command: "./multistep reproduce TABLE", clientVersion: "0.3.0", updated };
  return buildReport(plan, factsOf(plan), outcomes, context);
}

Deno.test("statisticsOf() has the mean and the sample's standard deviation", () => {
  assertEquals(statisticsOf([]), undefined);
  assertEquals(statisticsOf([7]), { count: 1, mean: 7 });
  assertEquals(statisticsOf([2, 4, 4, 4, 5, 5, 7, 9]), { count: 8, mean: 5, deviation: Math.sqrt(32 / 7) });
});

Deno.test("buildReport() has means over the runs that succeeded, beside the paper's numbers", async () => {
  const top1 = [0.91, 0.92, 0.5, 0.93, 0.94, 0.95];
  const report = await reportOf(cifar10Depth, { rows: ["20"], seeds: 3 }, (planned, index) =>
    finished(planned, {
      top1: top1[index],
      imagesPerSecond: 100 + index,
      state: index === 2 ? RunState.FAILED : RunState.SUCCEEDED,
    }));
  const [residual, multistep] = report.networks;
  assertEquals([residual.network, multistep.network], ["resnet-20", "lm-resnet-20"]);
  assertAlmostEquals(residual.error_percent?.mean ?? 0, 8.5, 1e-9);
  assertAlmostEquals(residual.error_percent?.deviation ?? 0, Math.SQRT1_2, 1e-9);
  assertEquals([residual.error_percent?.count, multistep.error_percent?.count], [2, 3]);
  assertAlmostEquals(multistep.error_percent?.mean ?? 0, 6, 1e-9);
  assertEquals([residual.images_per_second, multistep.images_per_second], [100.5, 104]);
  assertEquals(residual.paper_error_percent, { value: 8.75, tag: "c" });
  assertEquals(residual.paper_parameters_millions, { value: 0.27, tag: "m" });
  assertEquals(residual.parameters, 272_378);
  const [gain] = report.gains;
  assertAlmostEquals(gain.ours ?? 0, 2.5, 1e-9);
  assertEquals(gain.paper, { value: 0.42, tag: "c" });
  const failed = residual.runs[2];
  assertEquals([failed.state, failed.status_message], ["FAILED", "The loss became NaN"]);
  assertEquals((failed.config as { dataset: string }).dataset, "cifar10");
  assertEquals([report.runs_done, report.runs_planned], [6, 6]);
  assertEquals([report.client_version, report.server_version, report.deno_version], ["0.3.0", "0.2.0", "2.9.3"]);
  assertEquals([report.adapter?.description, report.adapter?.software], ["llvmpipe", true]);
});

Deno.test("buildReport() tells of what is not done and of what the server did not take", async () => {
  const report = await reportOf(
    cifar10Depth,
    { rows: ["110"], seeds: 2 },
    (planned, index) => index === 0 ? { planned, refusal: "The batch does not fit" } : undefined,
  );
  const [residual, multistep] = report.networks;
  assertEquals([report.runs_done, report.runs_planned], [1, 4]);
  assertEquals(residual.runs.map(({ seed, state, status_message }) => [seed, state, status_message]), [
    [1, "REFUSED", "The batch does not fit"],
  ]);
  assertEquals([residual.error_percent, multistep.error_percent, multistep.runs], [undefined, undefined, []]);
  assertEquals([report.gains[0].ours, report.gains[0].paper], [undefined, undefined]);
  assertStringIncludes(reportMarkdown(report), "1 of 4 runs done");
});

Deno.test("reportMarkdown() prints no number of the paper without its tag, and explains the tags", async () => {
  const report = await reportOf(
    cifar100Resnext,
    { rows: ["110", "8x64d"], seeds: 1 },
    (planned) => finished(planned, { top1: 0.75 }),
  );
  const text = reportMarkdown(report);
  assertStringIncludes(text, "| 110 | resnet-110 | 25.00 | 1 | 27.76 [m] |");
  assertStringIncludes(text, "| 8x64d | lm-resnext-29-8x64d | 25.00 | 1 | 17.49 [m] | 272,378 | 35.1M [m] | 100.0 |");
  assertStringIncludes(text, "| 8x64d | 0.00 | 0.28 [m] |");
  for (const number of ["27.76", "25.87", "17.49", "35.1M"]) {
    for (const [found] of text.matchAll(new RegExp(`${number}.{0,4}`, "g"))) {
      assert(found.startsWith(`${number} [m]`), `${found} has no tag`);
    }
  }
  assertStringIncludes(text, "- [m]: from memory, not checked against the paper: not to be quoted as the paper's");
  assertStringIncludes(text, "- [c]: read in the authors' code or on a stored page of the paper");
});

Deno.test("reportMarkdown() has the spread, the recipe, the place and the runs", async () => {
  const report = await reportOf(
    cifar10Depth,
    { rows: ["20"], seeds: 2 },
    (planned, index) => finished(planned, { top1: 0.9 + index / 100 }),
  );
  const text = reportMarkdown(report);
  assertStringIncludes(text, "| 20 | resnet-20 | 9.50 ± 0.71 | 2 | 8.75 [c] | 272,378 | 0.27M [m] | 100.0 |");
  assertStringIncludes(text, "| resnet-20, lm-resnet-20 | 160 | 0.1 | 80, 120 | 128 | 0.9 | 0.0001 | – | [c] |");
  assertStringIncludes(text, "- Hardware: llvmpipe (software Vulkan), as the server told on 2026-02-03T04:05:06.000Z");
  assertStringIncludes(
    text,
    "| resnet-20 | 2 | runs/resnet-20-2 | SUCCEEDED | 9.00 | 0.5000 | 100.0 | 2026-02-03T03:00:00.000Z | 1h 02m |",
  );
  assertStringIncludes(text, "![Loss and accuracy by epoch](curves.svg)");
});
