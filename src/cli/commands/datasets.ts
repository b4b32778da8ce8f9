/** `datasets` lists, describes and imports data sets. */
import { type Dataset, DatasetKind, DatasetSchema, type ImportReport, ImportReportSchema } from "../../gen/mod.ts";
import { defineClientCommand, defineGroup } from "../command.ts";
import { CommandError, UsageError } from "../errors.ts";
import { formatBytes, formatCount, formatShape } from "../format.ts";
import { flag, optional } from "../options.ts";
import type { Output } from "../output.ts";
import { messageToJson } from "../proto_json.ts";
import { serverPath } from "../server_path.ts";
import { formatFields, formatTable } from "../table.ts";
import { imageSize, listOf, text } from "../values.ts";

const listCommand = defineClientCommand({
  name: "list",
  summary: "Lists the data sets",
  options: {},
  async run(_invocation, { connection, output }) {
    const { datasets } = await connection.catalog.listDatasets({}, connection.quick);
    for (const dataset of datasets) output.object(messageToJson(DatasetSchema, dataset));
    output.lines(...formatTable(
      [
        { title: "NAME" },
        { title: "IMAGE" },
        { title: "CLASSES", align: "right" },
        { title: "TRAIN", align: "right" },
        { title: "TEST", align: "right" },
        { title: "DESCRIPTION" },
      ],
      datasets.map((dataset) => [
        dataset.name,
        imageText(dataset),
        formatCount(dataset.classNames.length),
        formatCount(dataset.trainImages),
        formatCount(dataset.testImages),
        dataset.description,
      ]),
    ));
    return 0;
  },
});

const describeCommand = defineClientCommand({
  name: "describe",
  summary: "Shows one data set",
  options: {},
  positionals: { placeholder: "NAME", minimum: 1, maximum: 1 },
  async run({ positionals: [name] }, { connection, output }) {
    const { datasets } = await connection.catalog.listDatasets({}, connection.quick);
    const dataset = datasets.find((candidate) => candidate.name === name);
    if (dataset === undefined) {
      throw new CommandError(
        `Cannot find data set "${name}": there are ${datasets.map((candidate) => candidate.name).join(", ")}`,
      );
    }
    output.object(messageToJson(DatasetSchema, dataset));
    output.lines(...formatFields(datasetFields(dataset)));
    return 0;
  },
});

const importCommand = defineClientCommand({
  name: "import",
  summary:
    "Registers a folder SPLIT/CLASS/*.jpg|png|webp or a zip of it, CIFAR, idx, npz, WebDataset or Parquet files, where " +
    "the server can read",
  options: {
    from: optional(text("PATH"), "Another way to say PATH"),
    streamed: flag("Keep image files as they are, and decode and crop them as they are used"),
    image: optional(
      imageSize(),
      "What image files are scaled to (default: 32x32x3), or with --streamed cropped to (default: 224x224x3)",
    ),
    classes: optional(
      listOf(text("NAME")),
      "Which folders are classes, in this order; or the names of classes that the source only numbers",
    ),
    sha256: optional(text("HEX"), "The checksum that the file must have"),
  },
  positionals: { placeholder: "NAME [PATH]", minimum: 1, maximum: 2 },
  async run({ values, positionals: [name, given] }, { connection, output }) {
    const path = given ?? values.from;
    if (path === undefined || (given !== undefined && values.from !== undefined)) {
      throw new UsageError("datasets import needs one path: datasets import NAME PATH");
    }
    const request = {
      name,
      path: await serverPath(path),
      streamed: values.streamed,
      image: values.image,
      sha256: values.sha256,
      classNames: values.classes,
    };
    let report: ImportReport | undefined;
    for await (const { kind } of connection.catalog.importDataset(request)) {
      if (kind.case === "progress") {
        const { imagesDone, imagesTotal } = kind.value;
        output.progress.update({ done: imagesDone, total: imagesTotal, text: `imported ${imagesDone}/${imagesTotal}` });
      }
      if (kind.case === "report") report = kind.value;
      if (kind.case === "dataset") {
        output.object(messageToJson(DatasetSchema, kind.value));
        output.lines(...formatFields(datasetFields(kind.value)));
        if (report) showReport(report, output);
        return 0;
      }
    }
    throw new CommandError("The server ended the import without a data set");
  },
});

export const datasetsCommand = defineGroup("datasets", "Lists, describes and imports data sets", [
  listCommand,
  describeCommand,
  importCommand,
]);

/** Files left out that are named at a terminal; --json has more. */
const SKIPPED_SHOWN = 50;

function showReport(report: ImportReport, output: Output): void {
  output.object(messageToJson(ImportReportSchema, report));
  output.lines(
    "",
    ...formatTable(
      [{ title: "CLASS" }, { title: "TRAIN", align: "right" }, { title: "TEST", align: "right" }],
      report.classes.map((row) => [row.name, formatCount(row.trainImages), formatCount(row.testImages)]),
    ),
    "",
    `${formatBytes(report.packedBytes)} kept, ${formatCount(report.skippedFiles)} ${
      report.skippedFiles === 1 ? "file" : "files"
    } left out`,
    ...report.skipped.slice(0, SKIPPED_SHOWN).map(({ path, reason }) => `  ${path}: ${reason}`),
  );
  const more = report.skippedFiles - SKIPPED_SHOWN;
  if (more > 0) output.lines(`  and ${formatCount(more)} more`);
}

function datasetFields(dataset: Dataset): [string, string][] {
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

function imageText({ image }: Dataset): string {
  return image === undefined ? "" : formatShape([image.height, image.width, image.channels]);
}

function toDigits(value: number): string {
  return value.toFixed(4);
}
