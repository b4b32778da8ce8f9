import type { Split } from "../dataset.ts";
import { DatasetError } from "../errors.ts";
import type { SourceEntry } from "./source_tree.ts";

/** What the names of a split's files begin with; validation data counts as tests where there are no others. */
const BEGINNINGS: Readonly<Record<Split, readonly RegExp[]>> = {
  train: [/^train/i],
  test: [/^test/i, /^val/i],
};

/**
 * The files of each split by their names, "train-00000-of-00004.parquet"; undefined where no file has the ending.
 *
 * @throws {DatasetError} where a split has none
 */
export function splitShards(
  entries: readonly SourceEntry[],
  ending: ".tar" | ".parquet",
): Readonly<Record<Split, readonly SourceEntry[]>> | undefined {
  const files = entries.filter(({ kind, name }) => kind === "file" && name.endsWith(ending));
  if (files.length === 0) return undefined;
  const find = (split: Split) => {
    for (const beginning of BEGINNINGS[split]) {
      const found = files.filter(({ name }) => beginning.test(name));
      if (found.length > 0) return found;
    }
    throw new DatasetError(
      "invalid",
      `Cannot find the files to ${split}: their names must be ${split}*${ending}, there is ${files[0].name}`,
    );
  };
  return { train: find("train"), test: find("test") };
}
