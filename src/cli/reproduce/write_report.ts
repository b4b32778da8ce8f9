/** A report's files: each is the old one or the new one, never half of one. */
import { join } from "node:path";
import { drawCurves } from "../curves/draw_curves.ts";
import { cannotWrite } from "../errors.ts";
import { replaceTextFile } from "../replace_file.ts";
import { isFinished, type RunOutcome } from "./outcomes.ts";
import type { Report } from "./report.ts";
import { reportMarkdown } from "./report_markdown.ts";

export const reportFiles = { markdown: "report.md", json: "report.json", curves: "curves.svg" };

/** @throws {CommandError} the folder cannot be made */
export async function makeReportFolder(folder: string): Promise<void> {
  try {
    await Deno.mkdir(folder, { recursive: true });
  } catch (error) {
    throw cannotWrite(folder, error);
  }
}

/** @throws {CommandError} a file cannot be written */
export async function writeReport(folder: string, report: Report, outcomes: Iterable<RunOutcome>): Promise<void> {
  const curves = [...outcomes].filter(isFinished).map(({ planned, curve }) => ({ label: planned.model, curve }));
  await replaceTextFile(join(folder, reportFiles.curves), await drawCurves(report.title, curves));
  await replaceTextFile(join(folder, reportFiles.json), `${JSON.stringify(report, null, 2)}\n`);
  await replaceTextFile(join(folder, reportFiles.markdown), reportMarkdown(report));
}
