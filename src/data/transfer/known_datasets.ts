/** Data sets that everybody knows, where their authors keep them. Only MD5 sums are published of any of them. */
import { DatasetError } from "../errors.ts";
import { fetchedFiles, type FetchOptions, type RemoteFile } from "./fetched_files.ts";
import type { TransferredSource } from "./transferred_source.ts";

interface KnownDataset {
  readonly files: readonly RemoteFile[];
  /** Of several files; its name tells the readers which of the look-alikes it is. */
  readonly folder?: string;
}

/** The sums of the four files, in the order of `IDX_FILES`. */
type IdxSums = readonly [string, string, string, string];

const IDX_FILES = ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"];

/** Krizhevsky's page, with its sums. */
const CIFAR = "https://www.cs.toronto.edu/~kriz/";

export const KNOWN_DATASETS: ReadonlyMap<string, KnownDataset> = new Map([
  ["cifar10", cifar("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530")],
  ["cifar100", cifar("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8")],
  // LeCun's own page asks for a password by now; this is the mirror, and these are the sums, of torchvision.
  [
    "mnist-full",
    idx("mnist-full", "https://ossci-datasets.s3.amazonaws.com/mnist/", [
      "f68b3c2dcbeaaa9fbdd348bbdeb94873",
      "d53e105ee54ea40749a09fcbcd1e9432",
      "9fb629c4189551a2d022fa330f9573f3",
      "ec29112dd5afa0611ce80d1b7f02629c",
    ]),
  ],
  // github.com/zalandoresearch/fashion-mnist, which has no https address.
  [
    "fashion-mnist",
    idx("fashion-mnist", "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", [
      "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
      "25c81989df183df01b3e8a0aad5dffbe",
      "bef4ecab320f06d8554ea6380940ec79",
      "bb300cfdad3c16e7a12a480ee83cd310",
    ]),
  ],
]);

/**
 * A known data set, fetched from its official address.
 *
 * @throws {DatasetError} `invalid` where it is not one of them
 */
export function knownSource(name: string, options: Omit<FetchOptions, "folder">): TransferredSource {
  const known = KNOWN_DATASETS.get(name);
  if (!known) {
    const names = [...KNOWN_DATASETS.keys()].join(", ");
    throw new DatasetError("invalid", `Cannot fetch "${name.slice(0, 80)}": known by name are ${names}`);
  }
  const source = fetchedFiles(known.files, { ...options, folder: known.folder });
  return {
    ...source,
    async bring(folder, transfer) {
      try {
        return await source.bring(folder, transfer);
      } catch (error) {
        if (!(error instanceof DatasetError) || error.kind !== "unavailable") throw error;
        throw new DatasetError("unavailable", `${error.message}; ${manualWay(known)}`, { cause: error });
      }
    },
  };
}

function manualWay({ files, folder }: KnownDataset): string {
  const names = files.map(({ url, md5 }) => `${url.href} (MD5 ${md5})`).join(", ");
  const then = folder === undefined ? "import or upload it" : `put them into a folder "${folder}" and import that`;
  return `where the network allows, download ${names}, and ${then}`;
}

function cifar(file: string, md5: string): KnownDataset {
  return { files: [{ url: new URL(file, CIFAR), md5 }] };
}

function idx(folder: string, base: string, sums: IdxSums): KnownDataset {
  const files = IDX_FILES.map((name, i) => ({ url: new URL(`${name}-ubyte.gz`, base), md5: sums[i] }));
  return { folder, files };
}
