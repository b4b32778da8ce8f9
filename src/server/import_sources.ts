/** Where a data set may be imported from. */
import { fetchedFiles, knownSource, type TransferLimits, type TransferredSource } from "../data/mod.ts";
import { resolveImport } from "./allowed_paths.ts";
import { RequestError } from "./errors.ts";
import type { ImportPlace } from "./validation/dataset_import.ts";

/**
 * What a server fetches for its clients: nothing; the data sets that it knows; any address of the public internet; or
 * any address at all, those of its own network too.
 */
export type FetchPolicy = "none" | "known" | "public" | "any";

export interface ImportSourcesOptions {
  /** The data folder, then the others that may be imported from; absolute, symbolic links resolved. */
  readonly folders: readonly string[];
  readonly allowFetch: FetchPolicy;
  /** Of one source that is fetched or uploaded. */
  readonly limits: TransferLimits;
}

export class ImportSources {
  constructor(private readonly options: ImportSourcesOptions) {}

  get limits(): TransferLimits {
    return this.options.limits;
  }

  /**
   * @returns a path that the server may read, or what it may fetch
   * @throws {RequestError} permission-denied, not-found
   * @throws {DatasetError} invalid: a data set that is not known
   */
  async find(place: ImportPlace): Promise<string | TransferredSource> {
    const { folders, allowFetch, limits } = this.options;
    if (place.kind === "path") return await resolveImport(place.path, folders);
    const options = { limits, allowPrivate: allowFetch === "any" };
    if (place.kind === "known" && allowFetch !== "none") return knownSource(place.name, options);
    if (place.kind === "url" && (allowFetch === "public" || allowFetch === "any")) {
      return fetchedFiles([{ url: place.url, sha256: place.sha256 }], options);
    }
    const needed = place.kind === "known" ? "known" : "public";
    throw new RequestError(
      "permission-denied",
      `This server fetches ${allowFetch === "none" ? "nothing" : "known data sets alone"}: start it with ` +
        `"--allow-fetch ${needed}", or download the file yourself and upload it`,
    );
  }
}
