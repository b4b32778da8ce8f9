/** Models, data sets and the adapter, as messages. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { DatasetDescription, DatasetSample, ImportReport } from "../../data/mod.ts";
import type { AdapterInfo, TrainingMemory } from "../../engine/mod.ts";
import * as proto from "../../gen/mod.ts";
import type { ModelDescription, ModelFamily } from "../../models/mod.ts";
import type { ImportEvent } from "../import_events.ts";

export function toModelFamily(family: ModelFamily): MessageInitShape<typeof proto.ModelFamilySchema> {
  const { pattern, description, scheme, examples } = family;
  return { pattern, description, scheme, examples: [...examples] };
}

export function toModelDescription(model: ModelDescription): MessageInitShape<typeof proto.ModelDescriptionSchema> {
  const { name, scheme, input: { height, width, channels }, classes } = model;
  return {
    name,
    scheme,
    input: { height, width, channels },
    classes,
    parameters: BigInt(model.parameters),
    multiplyAdds: BigInt(model.multiplyAdds),
    layers: model.layers.map((layer) => ({
      name: layer.name,
      kind: layer.kind,
      outputShape: [...layer.outputShape],
      parameters: BigInt(layer.parameters),
      multiplyAdds: BigInt(layer.multiplyAdds),
    })),
  };
}

export function toTrainingMemory(memory: TrainingMemory): MessageInitShape<typeof proto.TrainingMemorySchema> {
  return {
    totalBytes: BigInt(memory.total),
    parameterBytes: BigInt(memory.parameters),
    activationBytes: BigInt(memory.activations),
    workspaceBytes: BigInt(memory.workspace),
    imageBytes: BigInt(memory.images),
  };
}

const datasetKinds = { packed: proto.DatasetKind.PACKED, streamed: proto.DatasetKind.STREAMED };

export function toDataset(dataset: DatasetDescription): MessageInitShape<typeof proto.DatasetSchema> {
  const { name, description, height, width, channels, images, cropPadding, horizontalFlip } = dataset;
  return {
    name,
    description,
    image: { height, width, channels },
    classNames: [...dataset.classNames],
    trainImages: images.train,
    testImages: images.test,
    mean: [...dataset.mean],
    standardDeviation: [...dataset.standardDeviation],
    cropPadding,
    horizontalFlip,
    kind: datasetKinds[dataset.kind],
  };
}

export function toSampleResponse(
  { description, classCounts, bytes, images }: DatasetSample,
): MessageInitShape<typeof proto.GetDatasetSampleResponseSchema> {
  return {
    dataset: toDataset(description),
    classes: toClassCounts(description.classNames, classCounts),
    bytes: BigInt(bytes),
    images: images.map(({ label, index, png }) => ({ classIndex: label, index, png })),
  };
}

function toClassCounts(names: readonly string[], { train, test }: ImportReport["classCounts"]) {
  return names.map((name, i) => ({ name, trainImages: train[i], testImages: test[i] }));
}

export function toImportResponse(event: ImportEvent): MessageInitShape<typeof proto.ImportDatasetResponseSchema> {
  switch (event.kind) {
    case "progress": {
      const { images, bytes } = event;
      const fetched = { bytesDone: BigInt(bytes.done), bytesTotal: BigInt(bytes.total) };
      return { kind: { case: "progress", value: { imagesDone: images.done, imagesTotal: images.total, ...fetched } } };
    }
    case "dataset":
      return { kind: { case: "dataset", value: toDataset(event.dataset) } };
    case "report":
      return { kind: { case: "report", value: toImportReport(event.report, event.classNames) } };
  }
}

export function toImportReport(
  { classCounts, packedBytes, skipped }: ImportReport,
  classNames: readonly string[],
): MessageInitShape<typeof proto.ImportReportSchema> {
  return {
    classes: toClassCounts(classNames, classCounts),
    packedBytes: BigInt(packedBytes),
    skippedFiles: skipped.count,
    skipped: skipped.files.map((file) => ({ ...file })),
  };
}

export function toAdapter(adapter: AdapterInfo): MessageInitShape<typeof proto.AdapterSchema> {
  const { vendor, architecture, device, description, software } = adapter;
  const limits = Object.entries(adapter.limits).map(([name, limit]) => [name, BigInt(Math.trunc(limit))]);
  return {
    vendor,
    architecture,
    device,
    description,
    software,
    features: [...adapter.features],
    limits: Object.fromEntries(limits),
  };
}
