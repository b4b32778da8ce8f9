import { DatasetError } from "../errors.ts";

/** By the folder in the archive of the Python version: the archive to get instead. */
const PICKLED: Readonly<Record<string, string>> = {
  "cifar-10-batches-py": "cifar-10-binary.tar.gz",
  "cifar-100-python": "cifar-100-binary.tar.gz",
};

/** @throws {DatasetError} where a path belongs to the Python version of CIFAR: pickles run code when they are read */
export function refusePickle(path: string): void {
  for (const folder of path.split("/")) {
    const instead = PICKLED[folder];
    if (instead) {
      throw new DatasetError(
        "invalid",
        `Cannot import ${folder}: the Python version of CIFAR is pickled; get the binary version, ${instead}`,
      );
    }
  }
}

/** The same for a folder under another name, by the files in it. */
export function refusePickledFiles(names: ReadonlySet<string>): void {
  if (names.has("data_batch_1") || names.has("batches.meta")) refusePickle("cifar-10-batches-py");
  if (["train", "test", "meta"].every((name) => names.has(name))) refusePickle("cifar-100-python");
}
