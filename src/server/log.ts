/** Structured logs: one JSON object a line, through a sink given by who starts the server. */

/** Takes one line, without its line break. */
export type LogSink = (line: string) => void;

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** From the least important on. */
export const logLevels = ["debug", "info", "warning", "error"] as const;
export type LogLevel = typeof logLevels[number];

export class Log {
  private readonly least: number;

  /** @param level lines of less importance are left out */
  constructor(private readonly sink: LogSink, level: LogLevel = "info") {
    this.least = logLevels.indexOf(level);
  }

  debug(message: string, fields: LogFields = {}): void {
    this.write("debug", message, fields);
  }

  info(message: string, fields: LogFields = {}): void {
    this.write("info", message, fields);
  }

  warn(message: string, fields: LogFields = {}): void {
    this.write("warning", message, fields);
  }

  /** @param error logged with its stack and its causes; they never reach a client. */
  error(message: string, error: unknown, fields: LogFields = {}): void {
    this.write("error", message, { ...fields, error: describe(error) });
  }

  private write(level: LogLevel, message: string, fields: LogFields): void {
    if (logLevels.indexOf(level) < this.least) return;
    this.sink(JSON.stringify({ time: new Date().toISOString(), level, message, ...fields }));
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const own = error.stack ?? `${error.name}: ${error.message}`;
  return error.cause === undefined ? own : `${own}\ncaused by ${describe(error.cause)}`;
}
