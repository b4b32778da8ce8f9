/** Where a command's words go: results to stdout, as text or JSON lines; all else to stderr. */
import type { CliContext } from "./context.ts";
import { createProgress, type Progress } from "./progress.ts";
import type { JsonObject } from "./proto_json.ts";

export class Output {
  readonly progress: Progress;
  readonly #context: CliContext;

  constructor(context: CliContext, readonly json: boolean) {
    this.#context = context;
    // On one terminal, a bar would be drawn into the middle of the JSON lines.
    const crossed = json && context.stdout.isTerminal;
    this.progress = createProgress(crossed ? { write() {}, isTerminal: false, columns: 80 } : context.stderr);
  }

  /** A result, for people: nothing with --json. */
  lines(...lines: readonly string[]): void {
    if (this.json) return;
    this.progress.stop();
    this.#context.stdout.write(lines.map((line) => `${line}\n`).join(""));
  }

  /** A result, for programs: nothing without --json. */
  object(value: JsonObject): void {
    if (this.json) this.#context.stdout.write(`${JSON.stringify(value)}\n`);
  }

  /** Something went wrong; `message` has no final period. */
  error(message: string): void {
    this.progress.stop();
    this.#context.stderr.write(`multistep: ${message}\n`);
  }
}
