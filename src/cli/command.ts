/** What a command is, and how its arguments, help and failures are handled. */
import { accessOptions, readAccess } from "./access.ts";
import { type Connection, withConnection } from "./connection.ts";
import type { CliContext } from "./context.ts";
import { InterruptedError, oneLine, UsageError } from "./errors.ts";
import { asksForHelp, commandHelp, groupHelp } from "./help.ts";
import {
  flag,
  type Invocation,
  nearest,
  type Options,
  type OptionValues,
  type Positionals,
  readInvocation,
} from "./options.ts";
import { Output } from "./output.ts";

/** Something that can stand on the command line. */
export interface Command {
  readonly name: string;
  /** One sentence without its period. */
  readonly summary: string;
  /** `path` is how the command was called: ["runs", "list"]. Resolves to the exit code. */
  run(path: readonly string[], args: readonly string[], context: CliContext): Promise<number>;
}

/** What a command gets to work with. */
export interface Session {
  readonly context: CliContext;
  readonly output: Output;
}

export interface ClientSession extends Session {
  readonly connection: Connection;
}

interface Definition<O extends Options, S> {
  readonly name: string;
  readonly summary: string;
  readonly options: O;
  /** Default: none. */
  readonly positionals?: Positionals;
  /** Resolves to the exit code. Errors thrown are shown by their message, with exit code 1, or 2 for a UsageError. */
  readonly run: (invocation: Invocation<O>, session: S) => Promise<number>;
}

const noPositionals: Positionals = { placeholder: "", minimum: 0, maximum: 0 };

const localOptions = { json: flag("Print one JSON object a line on stdout, and nothing else there") };

const clientOptions = { ...accessOptions, ...localOptions };

/** A command that does its work in this process. */
export function defineCommand<O extends Options>(definition: Definition<O, Session>): Command {
  return makeCommand(definition, localOptions, (invocation, _common, session) => definition.run(invocation, session));
}

/** A command that talks to a server. */
export function defineClientCommand<O extends Options>(definition: Definition<O, ClientSession>): Command {
  return makeCommand(definition, clientOptions, (invocation, common, session) => {
    const access = readAccess(common, session.context);
    return withConnection(access, (connection) => definition.run(invocation, { ...session, connection }));
  });
}

function makeCommand<O extends Options, C extends typeof localOptions>(
  { name, summary, options, positionals = noPositionals }: Omit<Definition<O, never>, "run">,
  common: C,
  run: (invocation: Invocation<O>, common: OptionValues<C>, session: Session) => Promise<number>,
): Command {
  return {
    name,
    summary,
    async run(path, args, context) {
      if (asksForHelp(args)) {
        context.stdout.write(commandHelp({ path, summary, options: { ...options, ...common }, positionals }));
        return 0;
      }
      let output: Output | undefined;
      try {
        const invocation = readInvocation(args, { options, common, positionals });
        output = new Output(context, invocation.common.json === true);
        return await run(invocation, invocation.common, { context, output });
      } catch (error) {
        output?.progress.stop();
        return reportFailure(error, path, context);
      } finally {
        output?.progress.stop();
      }
    },
  };
}

/** Commands below one word: `runs list`, `runs get`. */
export function defineGroup(name: string, summary: string, commands: readonly Command[]): Command {
  return {
    name,
    summary,
    async run(path, args, context) {
      try {
        return await runSubcommand({ path, summary, commands }, args, context);
      } catch (error) {
        return reportFailure(error, path, context);
      }
    },
  };
}

/**
 * Runs the command that the first argument names, or shows what there is.
 * @throws {UsageError} for a word that is no command
 */
export function runSubcommand(
  group: { readonly path: readonly string[]; readonly summary: string; readonly commands: readonly Command[] },
  args: readonly string[],
  context: CliContext,
): Promise<number> {
  const { path, summary, commands } = group;
  const [word, ...rest] = args;
  if (word === undefined) {
    context.stderr.write(groupHelp(path, summary, commands));
    return Promise.resolve(2);
  }
  if (word === "help" && rest.length > 0) return runSubcommand(group, [...rest, "--help"], context);
  if (word === "help" || word === "--help" || word === "-h") {
    context.stdout.write(groupHelp(path, summary, commands));
    return Promise.resolve(0);
  }
  const command = commands.find((candidate) => candidate.name === word);
  if (command !== undefined) return command.run([...path, command.name], rest, context);
  const names = commands.map((candidate) => candidate.name);
  const near = nearest(word, names);
  throw new UsageError(
    `Unknown ${word.startsWith("-") ? "option" : "command"} "${word}": ${
      near === undefined ? `the commands are ${names.join(", ")}` : `did you mean ${near}`
    }`,
  );
}

/** Writes the one line that a failure gets; returns the exit code. */
export function reportFailure(error: unknown, path: readonly string[], { stderr }: CliContext): number {
  if (error instanceof InterruptedError) {
    stderr.write(`${error.message}\n`);
    return 130;
  }
  const message = oneLine(error instanceof Error ? error.message : String(error));
  if (!(error instanceof UsageError)) {
    stderr.write(`multistep: ${message}\n`);
    return 1;
  }
  stderr.write(`multistep: ${message}; see "${["./multistep", ...path, "--help"].join(" ")}"\n`);
  return 2;
}
