/** What `--help` prints. */
import type { Options, Positionals } from "./options.ts";

export interface CommandHelp {
  /** How the command is called: ["runs", "list"]. */
  readonly path: readonly string[];
  /** One sentence without its period. */
  readonly summary: string;
  readonly options: Options;
  readonly positionals: Positionals;
}

export function commandHelp({ path, summary, options, positionals }: CommandHelp): string {
  const needed = Object.entries(options)
    .filter(([, option]) => option.required)
    .map(([name, option]) => `--${name} ${option.placeholder}`);
  const usage = ["./multistep", ...path, ...needed, ...positionalUsage(positionals), "[options]"].join(" ");
  const lines = Object.entries(options).map(([name, option]): [string, string] => [
    option.placeholder === undefined ? `--${name}` : `--${name} ${option.placeholder}`,
    `${option.help}${option.defaultText === undefined ? "" : ` (default: ${option.defaultText})`}`,
  ]);
  return `Usage: ${usage}\n\n${summary}.\n\nOptions:\n${alignedLines([...lines, ["--help", "Show this help"]])}`;
}

export function groupHelp(
  path: readonly string[],
  summary: string,
  commands: readonly { readonly name: string; readonly summary: string }[],
): string {
  return `Usage: ${["./multistep", ...path, "COMMAND"].join(" ")}\n\n${summary}.\n\nCommands:\n${
    alignedLines(commands.map((command) => [command.name, command.summary]))
  }\n"./multistep ${[...path, "COMMAND"].join(" ")} --help" tells more.\n`;
}

export function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return args.slice(0, end === -1 ? args.length : end).some((arg) => arg === "--help" || arg === "-h");
}

function positionalUsage({ placeholder, minimum, maximum }: Positionals): string[] {
  if (maximum === 0) return [];
  const word = maximum === Infinity ? `${placeholder}...` : placeholder;
  return [minimum === 0 ? `[${word}]` : word];
}

/** A first part that is longer than this has a line of its own, so that one does not push all others to the side. */
const WIDEST_COLUMN = 32;
const LINE_WIDTH = 120;

function alignedLines(rows: readonly (readonly [string, string])[]): string {
  const widths = rows.map(([first]) => first.length).filter((width) => width <= WIDEST_COLUMN);
  const width = Math.max(0, ...widths);
  const indent = " ".repeat(width + 4);
  return rows.map(([first, second]) => {
    const start = first.length <= width ? `  ${first.padEnd(width)}  ` : `  ${first}\n${indent}`;
    return `${start}${wrapped(second, LINE_WIDTH - indent.length).join(`\n${indent}`)}\n`;
  }).join("");
}

/** Lines of at most `width` characters, but for words that are longer. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
