/** What a person looks at of a data set: how its images are spread over its classes, and some of each. */
import type { DatasetDescription, ImportReport, Split } from "../dataset.ts";
import { storedBytes } from "./manifest.ts";
import type { PackedDataset } from "./packed_reader.ts";
import type { StreamedDataset } from "./streamed_reader.ts";

export interface SampleOptions {
  /** Where the images come from. */
  readonly split: Split;
  /** Images a class; 0: none. */
  readonly perClass: number;
  /** Images come of the first so many classes. */
  readonly maxClasses: number;
  /** Pixels a side, at most. */
  readonly maxSide: number;
}

export interface DatasetSample {
  readonly description: DatasetDescription;
  readonly classCounts: ImportReport["classCounts"];
  /** Of what is kept on the disk, without the manifest. */
  readonly bytes: number;
  /** Class by class. */
  readonly images: readonly { readonly label: number; readonly index: number; readonly png: Uint8Array }[];
}

/** @throws {DatasetError} `damaged` or `storage` */
export async function sampleDataset(
  dataset: PackedDataset | StreamedDataset,
  { split, perClass, maxClasses, maxSide }: SampleOptions,
): Promise<DatasetSample> {
  const { description } = dataset.manifest;
  const labels = { train: await dataset.labels("train"), test: await dataset.labels("test") };
  const classes = description.classNames.length;
  const classCounts = { train: countLabels(labels.train, classes), test: countLabels(labels.test, classes) };
  const counts = classCounts[split].slice(0, maxClasses);
  const chosen = spreadOver(labels[split], { counts, perClass });
  const pngs = await dataset.thumbnails(split, chosen, maxSide);
  return {
    description,
    classCounts,
    bytes: storedBytes(dataset.manifest),
    images: chosen.map((index, i) => ({ label: labels[split][index], index, png: pngs[i] })),
  };
}

function countLabels(labels: Uint32Array, classes: number): number[] {
  const counts = Array.from({ length: classes }, () => 0);
  for (const label of labels) counts[label]++;
  return counts;
}

/**
 * Indices of images, class by class: of the n of a class the ones at 0, n/k, 2n/k, ..., or all where there are fewer.
 */
function spreadOver(
  labels: Uint32Array,
  { counts, perClass }: { readonly counts: readonly number[]; readonly perClass: number },
): number[] {
  const chosen = counts.map((): number[] => []);
  const met = counts.map(() => 0);
  labels.forEach((label, index) => {
    if (label >= counts.length) return;
    const nth = met[label]++;
    const due = Math.floor(chosen[label].length * Math.max(1, counts[label] / perClass));
    if (chosen[label].length < perClass && nth === due) chosen[label].push(index);
  });
  return chosen.flat();
}
