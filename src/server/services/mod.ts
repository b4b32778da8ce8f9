/** All services of a server, over one store, one engine and one data folder. */
import type { DescFile } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import type { Engine } from "../../engine/mod.ts";
import {
  CatalogService,
  health,
  InferenceService,
  reflectionV1,
  reflectionV1Alpha,
  TrainingService,
} from "../../gen/mod.ts";
import type { Catalog } from "../catalog.ts";
import { type FetchPolicy, ImportSources } from "../import_sources.ts";
import type { InferenceLimits } from "../inference/batcher.ts";
import { Inference } from "../inference/inference.ts";
import { WeightsFinder } from "../inference/weights.ts";
import type { Log } from "../log.ts";
import { ModelExports } from "../model_exports.ts";
import { DiskSpace } from "../runs/disk_space.ts";
import type { RunStore } from "../runs/store.ts";
import { type RunLimits, TrainingRuns } from "../runs/training_runs.ts";
import { Uploads } from "../uploads.ts";
import { createCatalogService } from "./catalog_service.ts";
import { createHealthService, ServerHealth } from "./health_service.ts";
import { createInferenceService } from "./inference_service.ts";
import { createReflectionV1, createReflectionV1Alpha, ReflectionIndex } from "./reflection_service.ts";
import { createTrainingService } from "./training_service.ts";

/** Of sources of data sets that are fetched or uploaded. */
export interface TransferOptions {
  /** Default: the data sets that are known by name. */
  readonly allowFetch?: FetchPolicy;
  /** Bytes of one source; default 64 GiB. */
  readonly maxSourceBytes?: number;
  /** Bytes of the data folder's disk that stay free; default 256 MiB. */
  readonly minFreeDisk?: number;
  /** Milliseconds that a client may send nothing of an upload; default 5 minutes. */
  readonly patience?: number;
}

export interface ServicesParts {
  readonly store: RunStore;
  readonly engine: Engine;
  readonly catalog: Catalog;
  readonly log: Log;
  /** Absolute, symbolic links resolved. */
  readonly dataDir: string;
  /** Folders beside the data folder that data sets may be imported from; absolute, symbolic links resolved. */
  readonly importFolders: readonly string[];
  readonly transfers?: TransferOptions;
  readonly inferenceLimits: InferenceLimits;
  /** Of runs, their logs and the disk. */
  readonly limits?: RunLimits;
}

export interface Services {
  readonly runs: TrainingRuns;
  readonly exports: ModelExports;
  readonly health: ServerHealth;
  readonly routes: (router: ConnectRouter) => void;
}

/** Images of one StreamInfer call under way. */
const imagesInFlight = 16;
/** Milliseconds between two messages of progress of an evaluation or an import. */
const progressInterval = 250;

const domainServices = [TrainingService, InferenceService, CatalogService];
const reflectedFiles: readonly DescFile[] = [
  ...domainServices.map(({ file }) => file),
  health.file_grpc_health_v1_health,
  reflectionV1.file_grpc_reflection_v1_reflection,
  reflectionV1Alpha.file_grpc_reflection_v1alpha_reflection,
];

/** Runs that a server which is gone left unfinished are queued here; `runs.begin()` lets them train. */
export function createServices(parts: ServicesParts): Services {
  const { store, engine, catalog, log, dataDir } = parts;
  const runs = new TrainingRuns({ store, engine, log, dataDir, ...parts.limits });
  const exports = new ModelExports({ engine, dataDir });
  const weights = new WeightsFinder(runs, dataDir);
  const inference = new Inference(engine, weights, parts.inferenceLimits);
  const state = new ServerHealth(domainServices.map(({ typeName }) => typeName));
  engine.onAvailability((available) => state.setAvailable(available));
  const index = new ReflectionIndex(reflectedFiles);
  const importFolders = [dataDir, ...parts.importFolders];
  const inferenceParts = { engine, weights, inference, log, inFlight: imagesInFlight, progressInterval };
  const transfers = createTransfers(dataDir, importFolders, parts.transfers);
  const catalogParts = { catalog, runs, engine, importFolders, ...transfers, progressInterval };
  const routes = (router: ConnectRouter) => {
    router
      .service(TrainingService, createTrainingService({ runs, catalog, exports, dataDir }))
      .service(InferenceService, createInferenceService(inferenceParts))
      .service(CatalogService, createCatalogService(catalogParts))
      .service(health.Health, createHealthService(state))
      .service(reflectionV1.ServerReflection, createReflectionV1(index))
      .service(reflectionV1Alpha.ServerReflection, createReflectionV1Alpha(index, reflectionV1Alpha));
  };
  return { runs, exports, health: state, routes };
}

function createTransfers(dataDir: string, folders: readonly string[], options: TransferOptions = {}) {
  const { allowFetch = "known", maxSourceBytes = 64 * 2 ** 30, minFreeDisk = 256 * 2 ** 20, patience = 300_000 } =
    options;
  const disk = new DiskSpace(dataDir, minFreeDisk);
  const limits = { maxBytes: maxSourceBytes, shortage: (bytes: number) => disk.shortageFor(bytes) };
  return { sources: new ImportSources({ folders, allowFetch, limits }), uploads: new Uploads(patience) };
}
