/** Data sets as text. */
import {
  type ClassCount,
  type Dataset,
  DatasetKind,
  DatasetSchema,
  type ImportReport,
  ImportReportSchema,
} from "../gen/mod.ts";
import { formatBytes, formatCount, formatFraction, formatShape } from "./format.ts";
import type { Output } from "./output.ts";
import { messageToJson } from "./proto_json.ts";
import { formatFields, formatTable } from "./table.ts";

/** What an import has made. */
export function showImported(dataset: Dataset, report: ImportReport | undefined, output: Output): void {
  output.object(messageToJson(DatasetSchema, dataset));
  output.lines(...formatFields(datasetFields(dataset)));
  if (report) showReport(report, output);
}

/** Files left out that are named at a terminal; --json has more. */
const SKIPPED_SHOWN = 50;

function showReport(report: ImportReport, output: Output): void {
  output.object(messageToJson(ImportReportSchema, report));
  output.lines(
    "",
    ...classTable(report.classes),
    "",
    `${formatBytes(report.packedBytes)} kept, ${formatCount(report.skippedFiles)} ${
      report.skippedFiles === 1 ? "file" : "files"
    } left out`,
    ...report.skipped.slice(0, SKIPPED_SHOWN).map(({ path, reason }) => `  ${path}: ${reason}`),
  );
  const more = report.skippedFiles - SKIPPED_SHOWN;
  if (more > 0) output.lines(`  and ${formatCount(more)} more`);
}

/** Images a class, and each class's share of the training images. */
export function classTable(classes: readonly ClassCount[]): string[] {
  const total = classes.reduce((sum, { trainImages }) => sum + trainImages, 0);
  return formatTable(
    [
      { title: "CLASS" },
      { title: "TRAIN", align: "right" },
      { title: "SHARE", align: "right" },
      { title: "TEST", align: "right" },
    ],
    classes.map(({ name, trainImages, testImages }) => [
      name,
      formatCount(trainImages),
      formatFraction(trainImages / Math.max(1, total)),
      formatCount(testImages),
    ]),
  );
}

/** "1 to 1.5": how many images the largest class has for one of the smallest. */
export function balanceText(classes: readonly ClassCount[]): string {
  const counts = classes.map(({ trainImages }) => trainImages);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  if (least === most) return `even: ${formatCount(least)} images to train of every class`;
  return `${formatCount(least)} to ${formatCount(most)} images to train a class`;
}

export function datasetFields(dataset: Dataset): [string, string][] {
  return [
    ["data set", dataset.name],
    ["description", dataset.description],
    ["kind", kindText(dataset)],
    ["images", `${formatCount(dataset.trainImages)} to train, ${formatCount(dataset.testImages)} to test`],
    ["size", imageText(dataset)],
    ["classes", dataset.classNames.join(", ")],
    ["mean", dataset.mean.map(toDigits).join(", ")],
    ["deviation", dataset.standardDeviation.map(toDigits).join(", ")],
    ["crop padding", String(dataset.cropPadding)],
    ["mirrored", dataset.horizontalFlip ? "yes" : "no"],
  ];
}

function kindText({ kind }: Dataset): string {
  return kind === DatasetKind.STREAMED
    ? "streamed: image files, decoded as they are used"
    : "packed: pixels of one size";
}

export function imageText({ image }: Dataset): string {
  return image === undefined ? "" : formatShape([image.height, image.width, image.channels]);
}

function toDigits(value: number): string {
  return value.toFixed(4);
}
