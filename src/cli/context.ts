/** The world that a command runs in, handed to `runCli` by its caller. */
import type { LocalCommands } from "./local.ts";

export interface CliContext {
  /** Of Multistep, as `--version` prints it. */
  readonly version: string;
  readonly stdout: TextSink;
  readonly stderr: TextSink;
  /** Where clients find the server unless told otherwise: "HOST:PORT" or "https://HOST:PORT". */
  readonly serverAddress: string;
  /** What clients prove themselves with unless told otherwise. */
  readonly token?: string;
  /** The PEM file of the authority that clients trust unless told otherwise. */
  readonly tlsCa?: string;
  /** Where `serve` and `demo` keep runs and data sets unless told otherwise. */
  readonly dataDir: string;
  /** Calls back each time the user asks to stop (Ctrl-C, or a termination signal); returns what ends that. */
  readonly onInterrupt: (handler: () => void) => () => void;
  readonly local: LocalCommands;
}

export interface TextSink {
  write(text: string): void;
  /** Whether a person reads along. */
  readonly isTerminal: boolean;
  /** Width of the terminal in characters. */
  readonly columns: number;
}
