/** A catalog of one model and one data set; imports take what they are given. */
import {
  type DatasetDescription,
  DatasetError,
  type TransferredSource,
  UnknownDatasetError,
} from "../../src/data/mod.ts";
import { describeScheme, ModelError } from "../../src/models/mod.ts";
import type { Catalog, ImportOptions } from "../../src/server/mod.ts";
import { classNames, input } from "./fake_engine.ts";

export const digits: DatasetDescription = {
  name: "digits",
  kind: "packed",
  description: "Digits",
  height: input.height,
  width: input.width,
  channels: 1,
  classNames,
  images: { train: 80, test: 20 },
  mean: [0.5],
  standardDeviation: [0.25],
  cropPadding: 2,
  horizontalFlip: false,
};

const digitCounts = { train: [20, 20, 20, 20], test: [5, 5, 5, 5] };

export class FakeCatalog implements Catalog {
  readonly imports: { name: string; source: string | TransferredSource; options: ImportOptions }[] = [];

  modelFamilies() {
    return [{
      pattern: "lm-resnet-N",
      description: "Multi-step",
      scheme: "linear multi-step",
      examples: ["lm-resnet-20"],
    }];
  }

  describeModel(spec: { name: string }, size: { height: number; width: number; channels: number }, classes: number) {
    if (spec.name !== "lm-resnet-20") {
      throw new ModelError(`Cannot find model "${spec.name}": there is lm-resnet-20`);
    }
    const layers = [{
      name: "conv1",
      kind: "conv2d 3x3",
      outputShape: [4, 4, 16],
      parameters: 432,
      multiplyAdds: 6912,
    }];
    const counts = { parameters: 432, multiplyAdds: 6912 };
    return { name: spec.name, scheme: "linear multi-step", input: size, classes, ...counts, layers };
  }

  describeSchemes() {
    return Promise.resolve([describeScheme({ scheme: "midpoint" })]);
  }

  listDatasets() {
    return Promise.resolve([digits]);
  }

  describeDataset(name: string) {
    if (name === digits.name) return Promise.resolve(digits);
    return Promise.reject(new UnknownDatasetError(name, [digits.name]));
  }

  async sampleDataset(name: string) {
    return { description: await this.describeDataset(name), classCounts: digitCounts, bytes: 25_700, images: [] };
  }

  async importDataset(name: string, source: string | TransferredSource, options: ImportOptions) {
    this.imports.push({ name, source, options });
    if (name === "digits") {
      throw new DatasetError("exists", 'Cannot import as "digits": there is a data set of that name');
    }
    for (let done = 1; done <= 3; done++) {
      options.onProgress?.(done, 3);
      await new Promise((resolve) => setTimeout(resolve, 1));
      options.signal.throwIfAborted();
    }
    const files = [{ path: "train/0/a.txt", reason: "not an image" }];
    options.onReport({
      classCounts: { train: [6, 4, 1, 1], test: [2, 1, 1, 1] },
      packedBytes: 100,
      skipped: { count: 1, files },
    });
    return { ...digits, name };
  }
}
