/** The commands of `runs` that change a run: cancel, pause, resume, restart, delete. */
import { type Run, RunSchema } from "../../gen/mod.ts";
import { type Command, defineClientCommand } from "../command.ts";
import type { Connection } from "../connection.ts";
import { CommandError } from "../errors.ts";
import { messageToJson } from "../proto_json.ts";
import { resolveRun, runNameHelp } from "../run_names.ts";
import { runSummaryLine } from "../run_view.ts";

const oneRun = { placeholder: "RUN", minimum: 1, maximum: 1 };

interface Steering {
  readonly name: string;
  /** What it does; what a RUN is comes behind it. */
  readonly summary: string;
  readonly call: (connection: Connection, name: string) => Promise<{ readonly run?: Run }>;
}

function steeringCommand({ name: word, summary, call }: Steering): Command {
  return defineClientCommand({
    name: word,
    summary: `${summary}; RUN is ${runNameHelp}`,
    options: {},
    positionals: oneRun,
    async run({ positionals }, { connection, output }) {
      const name = await resolveRun(connection, positionals[0]);
      const { run } = await call(connection, name);
      if (run === undefined) throw new CommandError(`The server's answer has no run for ${name}`);
      output.object(messageToJson(RunSchema, run));
      output.lines(runSummaryLine(run));
      return 0;
    },
  });
}

const deleteCommand = defineClientCommand({
  name: "delete",
  summary: `Deletes a run that has ended or is paused, with its checkpoints; RUN is ${runNameHelp}`,
  options: {},
  positionals: oneRun,
  async run({ positionals }, { connection, output }) {
    const name = await resolveRun(connection, positionals[0]);
    await connection.training.deleteRun({ name }, connection.quick);
    output.object({ run: name, deleted: true });
    output.lines(`${name} is deleted`);
    return 0;
  },
});

export const steeringCommands: readonly Command[] = [
  steeringCommand({
    name: "cancel",
    summary: "Ends a run",
    call: ({ training, quick }, name) => training.cancelRun({ name }, quick),
  }),
  steeringCommand({
    name: "pause",
    summary: "Lets a run write a checkpoint and let go of the GPU",
    call: ({ training, quick }, name) => training.pauseRun({ name }, quick),
  }),
  steeringCommand({
    name: "resume",
    summary: "Queues a paused run, which goes on from its last checkpoint",
    call: ({ training, quick }, name) => training.resumeRun({ name }, quick),
  }),
  steeringCommand({
    name: "restart",
    summary: "Queues a new run of the same configuration",
    call: ({ training, quick }, name) => training.restartRun({ name, requestId: crypto.randomUUID() }, quick),
  }),
  deleteCommand,
];
