/** The entry point: the only file that reads the arguments and the environment. */
import { join } from "node:path";
import project from "../deno.json" with { type: "json" };
import { onInterrupt, runCli, terminalSink } from "./cli/mod.ts";
import { localCommands } from "./local_commands.ts";

const { version } = project;
const home = variable("HOME") ?? ".";
const dataDir = join(variable("XDG_DATA_HOME") ?? join(home, ".local", "share"), "multistep");

const code = await runCli(Deno.args, {
  version,
  // A reader that is gone, as after `| head`, ends the command.
  stdout: terminalSink(Deno.stdout, () => Deno.exit(0)),
  stderr: terminalSink(Deno.stderr, () => {}),
  serverAddress: variable("MULTISTEP_SERVER") ?? "127.0.0.1:50051",
  token: variable("MULTISTEP_TOKEN"),
  tlsCa: variable("MULTISTEP_TLS_CA"),
  dataDir,
  onInterrupt,
  local: localCommands({ version, dataDir }),
});
Deno.exit(code);

/** One that is set to nothing counts as not set. */
function variable(name: string): string | undefined {
  return Deno.env.get(name) || undefined;
}
