/** Progress on stderr: a bar for a person at a terminal, else a line every few seconds. */
import type { TextSink } from "./context.ts";

/** Without a terminal, no more than one line of progress in this time. */
const plainIntervalMs = 5000;
/** A bar that changes more often cannot be read. */
const redrawIntervalMs = 100;

const clearToLineEnd = "\x1b[K";

export interface ProgressState {
  /** What is done and what there is to do; a total of 0: unknown. */
  readonly done: number;
  readonly total: number;
  /** Stands behind the bar. */
  readonly text: string;
}

export interface Progress {
  update(state: ProgressState): void;
  /** A line that stays. */
  note(line: string): void;
  /** Takes the bar away; the next update brings it back. */
  stop(): void;
}

export function createProgress(stderr: TextSink): Progress {
  return stderr.isTerminal ? new TerminalProgress(stderr) : new PlainProgress(stderr);
}

class PlainProgress implements Progress {
  readonly #sink: TextSink;
  #nextAt = 0;

  constructor(sink: TextSink) {
    this.#sink = sink;
  }

  update({ done, total, text }: ProgressState): void {
    const now = performance.now();
    if (now < this.#nextAt) return;
    this.#nextAt = now + plainIntervalMs;
    this.#sink.write(`${total > 0 ? `${percent(done, total)} ` : ""}${text}\n`);
  }

  note(line: string): void {
    this.#sink.write(`${line}\n`);
  }

  stop(): void {}
}

/** The bar is the last line on the screen; notes scroll away above it. */
class TerminalProgress implements Progress {
  readonly #sink: TextSink;
  #bar = "";
  #drawnAt = -Infinity;

  constructor(sink: TextSink) {
    this.#sink = sink;
  }

  update({ done, total, text }: ProgressState): void {
    const now = performance.now();
    if (this.#bar !== "" && now < this.#drawnAt + redrawIntervalMs) return;
    this.#drawnAt = now;
    this.#bar = formatBar(done, total, text, this.#sink.columns);
    this.#sink.write(`\r${this.#bar}${clearToLineEnd}`);
  }

  note(line: string): void {
    this.#sink.write(this.#bar === "" ? `${line}\n` : `\r${clearToLineEnd}${line}\n${this.#bar}`);
  }

  stop(): void {
    if (this.#bar !== "") this.#sink.write(`\r${clearToLineEnd}`);
    this.#bar = "";
  }
}

function formatBar(done: number, total: number, text: string, columns: number): string {
  const cells = Math.max(8, Math.min(24, columns - text.length - 10));
  const full = total > 0 ? Math.round(cells * Math.min(1, done / total)) : 0;
  const line = `[${"#".repeat(full)}${".".repeat(cells - full)}] ${percent(done, total).padStart(4)} ${text}`;
  return line.slice(0, Math.max(1, columns - 1));
}

function percent(done: number, total: number): string {
  return total > 0 ? `${Math.floor(100 * Math.min(1, done / total))}%` : "";
}
