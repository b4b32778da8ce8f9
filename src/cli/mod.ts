/**
 * The command line. `runCli` reads the arguments, does the work and resolves
 * to the exit code: 0 for success, 1 for failure, 2 for a usage error, 130
 * where the user interrupted it. What a command needs of the process, as
 * against a server, comes in through `CliContext`.
 */
import { type Command, reportFailure, runSubcommand } from "./command.ts";
import { benchCommand } from "./commands/bench.ts";
import { datasetsCommand } from "./commands/datasets.ts";
import { demoCommand } from "./commands/demo.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { evaluateCommand } from "./commands/evaluate.ts";
import { inferCommand } from "./commands/infer.ts";
import { modelsCommand } from "./commands/models.ts";
import { recipesCommand } from "./commands/recipes.ts";
import { reproduceCommand } from "./commands/reproduce.ts";
import { runsCommand } from "./commands/runs.ts";
import { serveCommand } from "./commands/serve.ts";
import { tokenCommand } from "./commands/token.ts";
import { trainCommand } from "./commands/train.ts";
import { watchCommand } from "./commands/watch.ts";
import type { CliContext } from "./context.ts";

export type { CliContext, TextSink } from "./context.ts";
export type {
  BenchKind,
  BenchMeasurement,
  BenchOptions,
  DoctorAdapter,
  DoctorCheck,
  DoctorReport,
  ExampleImage,
  LocalCommands,
  LocalServer,
  NewToken,
  ServeOptions,
  TuneMode,
} from "./local.ts";
export { onInterrupt, terminalSink } from "./terminal.ts";
export type { ImageSize } from "./values.ts";

const commands: readonly Command[] = [
  demoCommand,
  serveCommand,
  trainCommand,
  watchCommand,
  runsCommand,
  evaluateCommand,
  inferCommand,
  modelsCommand,
  recipesCommand,
  datasetsCommand,
  doctorCommand,
  benchCommand,
  reproduceCommand,
  tokenCommand,
];

const summary = "Multistep trains, evaluates and serves residual networks over gRPC";

/** Runs the command that `args` name. Never rejects: what goes wrong is written to `context.stderr`. */
export async function runCli(args: readonly string[], context: CliContext): Promise<number> {
  if (args[0] === "--version") {
    context.stdout.write(`multistep ${context.version}\n`);
    return 0;
  }
  try {
    return await runSubcommand({ path: [], summary, commands }, args, context);
  } catch (error) {
    return reportFailure(error, [], context);
  }
}
