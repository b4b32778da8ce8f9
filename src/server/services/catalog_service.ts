import type { ServiceImpl } from "@connectrpc/connect";
import type { AdapterInfo } from "../../engine/mod.ts";
import type { CatalogService } from "../../gen/mod.ts";
import { resolveImport } from "../allowed_paths.ts";
import type { Catalog } from "../catalog.ts";
import { toAdapter, toDataset, toModelDescription, toModelFamily } from "../convert/catalog.ts";
import { runName } from "../convert/run.ts";
import { importEvents } from "../import_events.ts";
import type { TrainingRuns } from "../runs/training_runs.ts";
import { throttle } from "../throttle.ts";
import { checkDescribeModel, checkImportDataset } from "../validation/catalog.ts";
import { version } from "../version.ts";

export interface CatalogServiceParts {
  readonly catalog: Catalog;
  readonly runs: TrainingRuns;
  readonly adapter: AdapterInfo;
  /** The data folder, then the others that data sets may be imported from; absolute, symbolic links resolved. */
  readonly importFolders: readonly string[];
  /** Milliseconds between two messages of progress. */
  readonly progressInterval: number;
}

export function createCatalogService(parts: CatalogServiceParts): ServiceImpl<typeof CatalogService> {
  const { catalog, runs, adapter, importFolders, progressInterval: interval } = parts;
  const startTime = performance.now();
  return {
    listModels() {
      return { families: catalog.modelFamilies().map(toModelFamily) };
    },

    describeModel(request) {
      const { model, input, classes } = checkDescribeModel(request);
      return { model: toModelDescription(catalog.describeModel(model, input, classes)) };
    },

    async listDatasets() {
      return { datasets: (await catalog.listDatasets()).map(toDataset) };
    },

    async *importDataset(request, { signal }) {
      const { name, path, image } = checkImportDataset(request);
      const source = await resolveImport(path, importFolders);
      const events = importEvents(catalog, { name, source, image, signal });
      const bounded = throttle(events, { interval, isDroppable: ({ kind }) => kind === "progress" });
      for await (const event of bounded) {
        yield event.kind === "progress"
          ? { kind: { case: "progress", value: { imagesDone: event.done, imagesTotal: event.total } } }
          : { kind: { case: "dataset", value: toDataset(event.dataset) } };
      }
    },

    getServerInfo() {
      return {
        version,
        denoVersion: Deno.version.deno,
        adapter: toAdapter(adapter),
        uptimeSeconds: (performance.now() - startTime) / 1000,
        queuedRuns: runs.queued,
        activeRun: runs.active === undefined ? "" : runName(runs.active),
      };
    },
  };
}
