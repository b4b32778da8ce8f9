/** `models` lists the networks and their schemes, describes one, imports, exports and analyzes trained ones. */
import {
  type LayerDescription,
  type ModelDescription,
  ModelDescriptionSchema,
  ModelFamilySchema,
  PrecisionSchema,
  type TrainingMemory,
  TrainingMemorySchema,
} from "../../gen/mod.ts";
import { defineClientCommand, defineGroup } from "../command.ts";
import { enumChoice } from "../enum_choice.ts";
import { CommandError } from "../errors.ts";
import { formatBytes, formatCount, formatShape } from "../format.ts";
import { modelOptions, modelSpec } from "../model_options.ts";
import { optional } from "../options.ts";
import { messageToJson } from "../proto_json.ts";
import { formatFields, formatTable } from "../table.ts";
import { decimal, imageSize, integer, text } from "../values.ts";
import { analyzeCommand, schemesCommand } from "./analyze_model.ts";
import { exportCommand } from "./export_model.ts";
import { importCommand } from "./import_model.ts";

const listCommand = defineClientCommand({
  name: "list",
  summary: "Lists the families of networks",
  options: {},
  async run(_invocation, { connection, output }) {
    const { families } = await connection.catalog.listModels({}, connection.quick);
    for (const family of families) output.object(messageToJson(ModelFamilySchema, family));
    output.lines(...formatTable(
      [{ title: "FAMILY" }, { title: "SCHEME" }, { title: "EXAMPLES" }, { title: "DESCRIPTION" }],
      families.map(({ pattern, scheme, examples, description }) => [pattern, scheme, examples.join(" "), description]),
    ));
    return 0;
  },
});

const describeCommand = defineClientCommand({
  name: "describe",
  summary: "Shows a network layer by layer, with exact counts, and the GPU memory that training it takes",
  options: {
    image: optional(imageSize(), "The network's input (default: 32x32x3)"),
    classes: optional(integer("N", { minimum: 1 }), "The classes it tells apart (default: 10)"),
    dataset: optional(text("NAME"), "What it is trained on, in place of --image and --classes"),
    "batch-size": optional(integer("N", { minimum: 1 }), "Also shows the memory of training with batches of this size"),
    precision: optional(enumChoice(PrecisionSchema), "Of that training (default: f32)"),
    "ema-decay": optional(decimal("X", { below: 1 }), "Of that training: counts the weights' moving average"),
    ...modelOptions,
  },
  positionals: { placeholder: "NAME", minimum: 1, maximum: 1 },
  async run({ values, positionals }, { connection, output }) {
    const { model, trainingMemory: memory } = await connection.catalog.describeModel({
      model: modelSpec(positionals[0], values),
      input: values.image,
      classes: values.classes,
      dataset: values.dataset,
      batchSize: values["batch-size"],
      precision: values.precision,
      emaDecay: values["ema-decay"],
    }, connection.quick);
    if (model === undefined) throw new CommandError("The server's answer has no model");
    output.object({
      ...messageToJson(ModelDescriptionSchema, model),
      training_memory: memory && messageToJson(TrainingMemorySchema, memory),
    });
    const fields = [...modelFields(model), ...(memory ? memoryFields(memory) : [])];
    output.lines(...formatFields(fields), "", ...layerTable(model.layers));
    return 0;
  },
});

export const modelsCommand = defineGroup(
  "models",
  "Lists the networks, describes one, imports, exports and analyzes trained ones",
  [
    listCommand,
    schemesCommand,
    describeCommand,
    importCommand,
    exportCommand,
    analyzeCommand,
  ],
);

function modelFields(model: ModelDescription): [string, string][] {
  const { input } = model;
  return [
    ["model", model.name],
    ["scheme", model.scheme],
    ["input", input === undefined ? "" : formatShape([input.height, input.width, input.channels])],
    ["classes", formatCount(model.classes)],
    ["parameters", formatCount(model.parameters)],
    ["multiply-adds", formatCount(model.multiplyAdds)],
  ];
}

function memoryFields(memory: TrainingMemory): [string, string][] {
  return [
    ["training memory", formatBytes(memory.totalBytes)],
    ["  parameters, gradients, momentum", formatBytes(memory.parameterBytes)],
    ["  activations", formatBytes(memory.activationBytes)],
    ["  inputs, last batch, evaluation", formatBytes(memory.workspaceBytes)],
    ...(memory.imageBytes > 0n
      ? [["  images of the data set", formatBytes(memory.imageBytes)] as [string, string]]
      : []),
  ];
}

function layerTable(layers: readonly LayerDescription[]): string[] {
  return formatTable(
    [
      { title: "LAYER" },
      { title: "KIND" },
      { title: "OUTPUT", align: "right" },
      { title: "PARAMETERS", align: "right" },
      { title: "MULTIPLY-ADDS", align: "right" },
    ],
    layers.map(({ name, kind, outputShape, parameters, multiplyAdds }) => [
      name,
      kind,
      formatShape(outputShape),
      formatCount(parameters),
      formatCount(multiplyAdds),
    ]),
  );
}
