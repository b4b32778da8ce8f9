import type { ServiceImpl } from "@connectrpc/connect";
import { type ImportReport, receivedFile } from "../../data/mod.ts";
import type { Engine } from "../../engine/mod.ts";
import type { CatalogService } from "../../gen/mod.ts";
import { resolveImport } from "../allowed_paths.ts";
import type { Catalog } from "../catalog.ts";
import { toSchemeDescription } from "../convert/analysis.ts";
import {
  toAdapter,
  toDataset,
  toImportReport,
  toImportResponse,
  toModelDescription,
  toModelFamily,
  toSampleResponse,
  toTrainingMemory,
} from "../convert/catalog.ts";
import { runName, toCheckpoint } from "../convert/run.ts";
import { importEvents } from "../import_events.ts";
import type { ImportSources } from "../import_sources.ts";
import { PlanningTurns } from "../planning_turns.ts";
import { recipes } from "../recipes/table.ts";
import type { TrainingRuns } from "../runs/training_runs.ts";
import { throttle } from "../throttle.ts";
import type { Uploads } from "../uploads.ts";
import { checkDescribeModel, checkGetDatasetSample } from "../validation/catalog.ts";
import { checkImportDataset } from "../validation/dataset_import.ts";
import { checkImportModel } from "../validation/model_import.ts";
import { version } from "../version.ts";

export interface CatalogServiceParts {
  readonly catalog: Catalog;
  readonly runs: TrainingRuns;
  readonly engine: Pick<Engine, "adapter" | "memory" | "importModel">;
  /** The data folder, then the others that may be imported from; absolute, symbolic links resolved. */
  readonly importFolders: readonly string[];
  readonly sources: ImportSources;
  readonly uploads: Uploads;
  /** Milliseconds between two messages of progress. */
  readonly progressInterval: number;
}

const defaultInput = { height: 32, width: 32, channels: 3 } as const;
const defaultClasses = 10;

export function createCatalogService(parts: CatalogServiceParts): ServiceImpl<typeof CatalogService> {
  const { catalog, runs, engine, importFolders, sources, uploads, progressInterval: interval } = parts;
  const [describing, planning] = [new PlanningTurns(), new PlanningTurns()];
  const startTime = performance.now();
  return {
    listModels() {
      return { families: catalog.modelFamilies().map(toModelFamily) };
    },

    async describeModel(request, { signal }) {
      const { model, dataset: name, batchSize, precision, emaDecay, ...asked } = checkDescribeModel(request);
      const dataset = name === undefined ? undefined : await catalog.describeDataset(name);
      const { height, width, channels } = dataset ?? asked.input ?? defaultInput;
      const classes = dataset?.classNames.length ?? asked.classes ?? defaultClasses;
      const describe = () => toModelDescription(catalog.describeModel(model, { height, width, channels }, classes));
      const description = await describing.take(describe, signal);
      if (batchSize === undefined) return { model: description };
      // Image files are decoded on the host, batch by batch.
      const dataPath = dataset?.kind === "streamed" ? "host" as const : undefined;
      const size = { height, width, channels, classes, batchSize, precision, images: dataset?.images, dataPath };
      const memory = await planning.take(() => engine.memory({ model, ...size, emaDecay }, signal), signal);
      return { model: description, trainingMemory: toTrainingMemory(memory) };
    },

    async listSchemes() {
      return { schemes: (await catalog.describeSchemes()).map(toSchemeDescription) };
    },

    listRecipes() {
      return { recipes: [...recipes] };
    },

    async listDatasets() {
      return { datasets: (await catalog.listDatasets()).map(toDataset) };
    },

    async getDatasetSample(request) {
      const { name, ...options } = checkGetDatasetSample(request);
      return toSampleResponse(await catalog.sampleDataset(name, options));
    },

    async *importDataset(request, { signal }) {
      const { place, ...order } = checkImportDataset(request);
      const events = importEvents(catalog, { ...order, source: await sources.find(place), signal });
      const bounded = throttle(events, { interval, isDroppable: ({ kind }) => kind === "progress" });
      for await (const event of bounded) {
        yield toImportResponse(event);
      }
    },

    async uploadDataset(requests, { signal }) {
      using upload = await uploads.begin(requests, signal);
      const { name, fileName, bytes, sha256, ...format } = upload.order;
      const source = receivedFile({ name: fileName, bytes, sha256, chunks: upload.chunks }, sources.limits);
      let report: ImportReport | undefined;
      const onReport = (told: ImportReport) => void (report = told);
      const dataset = await catalog.importDataset(name, source, { ...format, signal, onReport });
      return { dataset: toDataset(dataset), report: report && toImportReport(report, dataset.classNames) };
    },

    async importModel(request, { signal }) {
      const { name, path, network } = checkImportModel(request);
      const source = await resolveImport(path, importFolders);
      const { checkpoint, description } = await engine.importModel({ name, source, network }, signal);
      const { model, height, width, channels, classNames } = description;
      const described = catalog.describeModel(model, { height, width, channels: channels as 1 | 3 }, classNames.length);
      return { checkpoint: toCheckpoint({ ...checkpoint, best: false }), model: toModelDescription(described) };
    },

    getServerInfo() {
      return {
        version,
        denoVersion: Deno.version.deno,
        adapter: toAdapter(engine.adapter),
        uptimeSeconds: (performance.now() - startTime) / 1000,
        queuedRuns: runs.queued,
        activeRun: runs.active === undefined ? "" : runName(runs.active),
      };
    },
  };
}
