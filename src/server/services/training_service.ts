import type { ServiceImpl } from "@connectrpc/connect";
import { TrainingConfigSchema, type TrainingService } from "../../gen/mod.ts";
import type { Catalog } from "../catalog.ts";
import { toRun, toRunEvent } from "../convert/run.ts";
import { digestOf } from "../convert/digest.ts";
import { encodePageToken } from "../runs/page_token.ts";
import type { TrainingRuns } from "../runs/training_runs.ts";
import { checkRunName } from "../validation/fields.ts";
import { checkListRuns, checkRequestId, checkWatchRun } from "../validation/training.ts";
import { checkTrainingConfig, fillAugmentation } from "../validation/training_config.ts";

export function createTrainingService(runs: TrainingRuns, catalog: Catalog): ServiceImpl<typeof TrainingService> {
  return {
    async *train({ config: message, requestId: id }, { signal }) {
      const requestId = checkRequestId(id);
      const checked = checkTrainingConfig(message);
      const config = fillAugmentation(checked, await catalog.describeDataset(checked.dataset));
      const requestDigest = await digestOf(TrainingConfigSchema, message);
      signal.throwIfAborted();
      const run = await runs.start(config, { requestId, requestDigest });
      for await (const event of runs.watch(run.id, 0, signal)) yield { event: toRunEvent(event) };
    },

    getRun({ name }) {
      return { run: toRun(runs.get(checkRunName("name", name))) };
    },

    listRuns(request) {
      const page = runs.list(checkListRuns(request));
      const nextPageToken = page.next === undefined ? "" : encodePageToken(page.next);
      return { runs: page.runs.map(toRun), nextPageToken };
    },

    cancelRun({ name }) {
      return { run: toRun(runs.cancel(checkRunName("name", name))) };
    },

    async *watchRun(request, { signal }) {
      const { id, after } = checkWatchRun(request);
      for await (const event of runs.watch(id, after, signal)) yield { event: toRunEvent(event) };
    },
  };
}
