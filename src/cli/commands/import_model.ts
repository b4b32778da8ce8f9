/** `models import` makes a checkpoint of weights that were trained elsewhere. */
import { basename } from "node:path";
import { CheckpointSchema, ModelDescriptionSchema } from "../../gen/mod.ts";
import { defineClientCommand } from "../command.ts";
import { CommandError, UsageError } from "../errors.ts";
import { formatBytes, formatCount } from "../format.ts";
import { modelOptions, modelSpec } from "../model_options.ts";
import { flag, optional } from "../options.ts";
import { messageToJson } from "../proto_json.ts";
import { serverPath } from "../server_path.ts";
import { decimal, imageSize, listOf, text } from "../values.ts";

export const importCommand = defineClientCommand({
  name: "import",
  summary:
    "Makes a checkpoint of a safetensors file of weights: a state dict of PyTorch, or what models export wrote; FILE lies " +
    "where the server can read",
  options: {
    name: optional(text("NAME"), "Of the checkpoint, models/NAME.safetensors (default: the file's)"),
    model: optional(
      text("NAME"),
      "The network that the weights are of (default: what models export wrote in the file)",
    ),
    dataset: optional(text("NAME"), "What it was trained on: the data set's images, normalisation and classes"),
    image: optional(imageSize(), "Without --dataset, the network's input (default: 32x32x3)"),
    mean: optional(
      listOf(decimal("X", { minimum: -Infinity })),
      "Without --dataset, what was subtracted from each channel of 0 to 1 (default: 0)",
    ),
    std: optional(listOf(decimal("X")), "Without --dataset, what each channel was divided by (default: 1)"),
    classes: optional(listOf(text("NAME")), "Without --dataset, the classes' names (default: their indices)"),
    "center-crop": flag(
      "Without --dataset, scale images and cut out the centre, as for ImageNet, instead of stretching",
    ),
    ...modelOptions,
  },
  positionals: { placeholder: "FILE", minimum: 1, maximum: 1 },
  async run({ values, positionals: [file] }, { connection, output }) {
    const { model: name, dataset, image: input, mean, std: standardDeviation, classes: classNames } = values;
    const { checkpoint, model } = await connection.catalog.importModel({
      name: values.name ?? nameOf(file),
      path: await serverPath(file),
      model: name === undefined ? undefined : modelSpec(name, values),
      dataset,
      input,
      mean,
      standardDeviation,
      classNames,
      centerCrop: values["center-crop"],
    });
    if (checkpoint === undefined || model === undefined) throw new CommandError("The server's answer has no model");
    const { layers: _, ...description } = messageToJson(ModelDescriptionSchema, model);
    output.object({ ...messageToJson(CheckpointSchema, checkpoint), model: description });
    const { path, bytes } = checkpoint;
    output.lines(
      `Imported ${model.name} of ${formatCount(model.parameters)} parameters and ${
        formatCount(model.classes)
      } classes ` +
        `as ${path} (${formatBytes(bytes)})`,
      `To use it: ./multistep infer --checkpoint ${path} IMAGE`,
    );
    return 0;
  },
});

/** A name that the server takes, from a file's: "LM_ResNet20.safetensors" is "lm-resnet20". */
function nameOf(file: string): string {
  const name = basename(file).replace(/\.[^.]*$/, "").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "");
  if (name === "") throw new UsageError(`Give --name NAME: "${file}" has none in it`);
  return name.slice(0, 64);
}
