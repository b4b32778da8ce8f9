/** `doctor` tells what the machine has, and what is wrong with it. */
import { defineCommand } from "../command.ts";
import { formatCount } from "../format.ts";
import type { DoctorAdapter, DoctorReport } from "../local.ts";
import type { JsonObject } from "../proto_json.ts";
import { formatFields } from "../table.ts";

export const doctorCommand = defineCommand({
  name: "doctor",
  summary: "Tells what adapter, driver, features and limits there are, and what is wrong with them",
  options: {},
  async run(_invocation, { context, output }) {
    const report = await context.local.doctor();
    output.object(reportJson(report));
    output.lines(...reportLines(report));
    return isHealthy(report) ? 0 : 1;
  },
});

function isHealthy({ checks }: DoctorReport): boolean {
  return checks.every((check) => check.status !== "failed");
}

function reportJson(report: DoctorReport): JsonObject {
  const { adapter } = report;
  return {
    healthy: isHealthy(report),
    version: report.version,
    deno_version: report.denoVersion,
    platform: report.platform,
    adapter: adapter === undefined ? undefined : adapterJson(adapter),
    checks: report.checks.map(({ name, status, message, remedy }) => ({ name, status, message, remedy })),
  };
}

function adapterJson({ vendor, architecture, device, description, software, features, limits }: DoctorAdapter) {
  return { vendor, architecture, device, description, software, features, limits };
}

const marks = { ok: "ok     ", warning: "warning", failed: "FAILED " };

function reportLines({ version, denoVersion, platform, adapter, checks }: DoctorReport): string[] {
  return [
    ...formatFields([["multistep", version], ["deno", denoVersion], ["platform", platform]]),
    ...(adapter === undefined ? [] : ["", ...adapterLines(adapter)]),
    "",
    ...checks.flatMap(({ name, status, message, remedy }) => [
      `${marks[status]}  ${name}: ${message}`,
      ...(remedy === undefined ? [] : [`         to do: ${remedy}`]),
    ]),
  ];
}

function adapterLines(adapter: DoctorAdapter): string[] {
  const { description, device, vendor, architecture, software, features, limits } = adapter;
  return [
    ...formatFields([
      ["adapter", description || device],
      ["vendor", [vendor, architecture].filter((part) => part !== "").join(", ")],
      ["kind", software ? "software, on the CPU" : "hardware"],
      ["features", features.join(", ")],
    ]),
    "limits:",
    ...formatFields(Object.entries(limits).map(([name, value]) => [name, formatCount(value)])).map((line) =>
      `  ${line}`
    ),
  ];
}
