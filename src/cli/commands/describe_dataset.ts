/** `datasets describe` shows one data set: its facts, its classes and, as a picture, some of its images. */
import { type ClassCount, ClassCountSchema, DatasetSchema, type SampleImage } from "../../gen/mod.ts";
import { defineClientCommand } from "../command.ts";
import { drawContactSheet, type SheetRow } from "../contact_sheet.ts";
import { balanceText, classTable, datasetFields } from "../dataset_view.ts";
import { CommandError } from "../errors.ts";
import { formatBytes } from "../format.ts";
import { defaulting, optional } from "../options.ts";
import { messageToJson } from "../proto_json.ts";
import { replaceFile, writeAll } from "../replace_file.ts";
import { formatFields } from "../table.ts";
import { choice, integer, text } from "../values.ts";

/** Of an image in the picture, in pixels. */
const CELL_SIDE = 48;

export const describeCommand = defineClientCommand({
  name: "describe",
  summary: "Shows one data set: sizes, the balance of its classes and, in a picture, images of each",
  options: {
    "contact-sheet": optional(
      text("FILE.png"),
      "Write a picture with a row of images for each of the first 50 classes",
    ),
    "images-per-class": defaulting(integer("N", { minimum: 1, maximum: 32 }), "8", "Images in a row of it"),
    split: defaulting(choice(["train", "test"]), "train", "Where they come from"),
  },
  positionals: { placeholder: "NAME", minimum: 1, maximum: 1 },
  async run({ values, positionals: [name] }, { connection, output }) {
    const sheet = values["contact-sheet"];
    const imagesPerClass = sheet === undefined ? 0 : values["images-per-class"];
    const request = { name, split: values.split, imagesPerClass, maxSide: CELL_SIDE };
    const { dataset, classes, bytes, images } = await connection.catalog.getDatasetSample(request, connection.quick);
    if (dataset === undefined) throw new CommandError("The server answered without the data set");
    if (sheet !== undefined) {
      const picture = await drawContactSheet(rowsOf(classes, images), CELL_SIDE);
      await replaceFile(sheet, (file) => writeAll(file, picture));
    }
    output.object(messageToJson(DatasetSchema, dataset));
    output.object({
      classes: classes.map((row) => messageToJson(ClassCountSchema, row)),
      bytes: Number(bytes),
      ...(sheet !== undefined && { contact_sheet: sheet }),
    });
    output.lines(
      ...formatFields([...datasetFields(dataset), ["on disk", formatBytes(bytes)], ["balance", balanceText(classes)]]),
      "",
      ...classTable(classes),
      ...(sheet === undefined ? [] : ["", `Wrote ${sheet}`]),
    );
    return 0;
  },
});

/** Classes of which no image came are left out. */
function rowsOf(classes: readonly ClassCount[], images: readonly SampleImage[]): SheetRow[] {
  const rows = classes.map(({ name }, label) => ({
    title: name,
    images: images.filter(({ classIndex }) => classIndex === label).map(({ png }) => png),
  }));
  return rows.filter((row) => row.images.length > 0);
}
