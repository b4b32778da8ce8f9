/** `datasets` lists, describes and imports data sets. */
import { DatasetSchema } from "../../gen/mod.ts";
import { defineClientCommand, defineGroup } from "../command.ts";
import { imageText } from "../dataset_view.ts";
import { formatCount } from "../format.ts";
import { messageToJson } from "../proto_json.ts";
import { formatTable } from "../table.ts";
import { describeCommand } from "./describe_dataset.ts";
import { fetchCommand, importCommand } from "./import_dataset.ts";
import { uploadCommand } from "./upload_dataset.ts";

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

export const datasetsCommand = defineGroup("datasets", "Lists, describes, imports, fetches and uploads data sets", [
  listCommand,
  describeCommand,
  importCommand,
  fetchCommand,
  uploadCommand,
]);
