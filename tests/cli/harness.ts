/** Runs commands in this process and catches what they write. */
import { type CliContext, type LocalCommands, runCli } from "../../src/cli/mod.ts";

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Circumstances {
  readonly server?: string;
  readonly local?: Partial<LocalCommands>;
  readonly dataDir?: string;
  readonly token?: string;
  readonly tlsCa?: string;
  /** Whether stderr is a terminal; stdout never is. */
  readonly terminal?: boolean;
  /** Gets what asks the command to stop, as Ctrl-C does. */
  readonly onStart?: (interrupt: () => void) => void;
  readonly onStderr?: (text: string) => void;
}

export async function runCommand(args: readonly string[], circumstances: Circumstances = {}): Promise<Outcome> {
  const { server = "127.0.0.1:1", local = {}, terminal = false, dataDir = "data", onStart, onStderr } = circumstances;
  let stdout = "";
  let stderr = "";
  const handlers = new Set<() => void>();
  const context: CliContext = {
    version: "0.1.0",
    stdout: { write: (text) => stdout += text, isTerminal: false, columns: 80 },
    stderr: {
      write: (text) => {
        stderr += text;
        onStderr?.(text);
      },
      isTerminal: terminal,
      columns: 80,
    },
    serverAddress: server,
    token: circumstances.token,
    tlsCa: circumstances.tlsCa,
    dataDir,
    onInterrupt(handler) {
      handlers.add(handler);
      return () => handlers.delete(handler);
    },
    local: { ...absent, ...local },
  };
  onStart?.(() => handlers.forEach((handler) => handler()));
  const code = await runCli(args, context);
  return { code, stdout, stderr };
}

/** @throws where a line of stdout is no JSON object */
export function jsonLines({ stdout }: Outcome): Record<string, unknown>[] {
  if (stdout !== "" && !stdout.endsWith("\n")) throw new Error(`The last line is not ended: ${stdout}`);
  return stdout.split("\n").slice(0, -1).map((line) => {
    const value = JSON.parse(line);
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error(`No object: ${line}`);
    return value;
  });
}

const notExpected = () => {
  throw new Error("Not expected to be called");
};

const absent: LocalCommands = {
  serve: notExpected,
  createToken: notExpected,
  doctor: notExpected,
  bench: notExpected,
  exampleImages: notExpected,
};
