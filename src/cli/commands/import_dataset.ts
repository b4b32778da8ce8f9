/** `datasets import` registers a data set that lies where the server can read. */
import { DatasetSchema, type ImportReport } from "../../gen/mod.ts";
import { defineClientCommand } from "../command.ts";
import { datasetFields, showReport } from "../dataset_view.ts";
import { CommandError, UsageError } from "../errors.ts";
import { flag, optional } from "../options.ts";
import { messageToJson } from "../proto_json.ts";
import { serverPath } from "../server_path.ts";
import { formatFields } from "../table.ts";
import { imageSize, listOf, text } from "../values.ts";

export const importCommand = defineClientCommand({
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
