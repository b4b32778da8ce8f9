/** `watch` follows a run that is there already. */
import { defineClientCommand } from "../command.ts";
import { watchRun } from "../follow_run.ts";
import { defaulting } from "../options.ts";
import { resolveRun, runNameHelp } from "../run_names.ts";
import { showRun } from "../show_run.ts";
import { integer } from "../values.ts";

export const watchCommand = defineClientCommand({
  name: "watch",
  summary: `Shows a run's events until it ends; RUN is ${runNameHelp}`,
  options: { after: defaulting(integer("SEQUENCE"), "0", "Only the events after this one") },
  positionals: { placeholder: "RUN", minimum: 1, maximum: 1 },
  async run({ values, positionals }, session) {
    const { connection } = session;
    const name = await resolveRun(connection, positionals[0]);
    const { run } = await connection.training.getRun({ name }, connection.quick);
    return await showRun(
      session,
      (follow) => watchRun(connection, { name, afterSequence: values.after }, follow),
      { run: name, totalEpochs: run?.config?.epochs },
    );
  },
});
