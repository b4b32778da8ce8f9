/** Holds the source tree to its own rules: who imports whom, who touches what, and how files are kept. */
import { dirname, extname, join, relative, resolve } from "node:path";
import { assert, assertEquals } from "@std/assert";

const root = resolve(import.meta.dirname!, "..");

/** Which folders of src/ a folder may import, besides itself. */
const arrows: Readonly<Record<string, readonly string[]>> = {
  gen: [],
  wgsl: [],
  gpu: ["wgsl"],
  data: ["gpu"],
  models: ["gpu"],
  engine: ["models", "data", "gpu"],
  server: ["engine", "models", "data", "gen"],
  cli: ["gen"],
};

interface SourceFile {
  /** Relative to the project, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

async function* walk(folder: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(join(root, folder))) {
    const path = folder === "." ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory) yield* walk(path);
    else if (entry.isFile) yield path;
  }
}

async function readAll(folders: readonly string[], keep: (path: string) => boolean): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  for (const folder of folders) {
    for await (const path of walk(folder)) {
      if (keep(path)) files.push({ path, text: await Deno.readTextFile(join(root, path)) });
    }
  }
  return files;
}

const generated = ["src/gen/", "tests/conformance/gen/"];
const isWritten = (path: string) => !generated.some((folder) => path.startsWith(folder));

const sources = await readAll(["src"], (path) => path.endsWith(".ts") && isWritten(path));
const typeScript = [
  ...sources,
  ...await readAll(["tests", "bench", "proto"], (path) => path.endsWith(".ts") && isWritten(path)),
];

/** What a file imports: statically, dynamically, or as a worker. */
function importsOf({ text }: SourceFile): string[] {
  const patterns = [
    /^\s*(?:import|export)\b[^;"']*?\bfrom\s*["']([^"']+)["']/gm,
    /^\s*import\s*["']([^"']+)["']/gm,
    /(?<![.\w])import\(\s*["']([^"']+)["']/g,
    /\bnew URL\(\s*["'](\.[^"']+)["']\s*,\s*import\.meta\.url/g,
  ];
  return patterns.flatMap((pattern) => [...text.matchAll(pattern)].map((match) => match[1]));
}

/** The folder of src/ that a file is in; "" for src/main.ts. */
function folderOf(path: string): string {
  const [src, folder, ...rest] = path.split("/");
  return src === "src" && rest.length > 0 ? folder : "";
}

/** Where the version is written. */
const manifest = "deno.json";

function importedPath(file: SourceFile, specifier: string): string {
  return relative(root, resolve(root, dirname(file.path), specifier)).replaceAll("\\", "/");
}

function where(files: readonly SourceFile[], pattern: RegExp): string[] {
  return files.filter(({ text }) => pattern.test(text)).map(({ path }) => path);
}

Deno.test("src/ imports along its arrows only", () => {
  const wrong: string[] = [];
  for (const file of sources) {
    const from = folderOf(file.path);
    if (from === "") continue;
    assert(from in arrows, `src/${from} has no place among the arrows`);
    for (const specifier of importsOf(file).filter((name) => name.startsWith("."))) {
      const path = importedPath(file, specifier);
      if (path === manifest) continue;
      const to = path.startsWith("src/") ? folderOf(path) : path;
      if (to !== from && !arrows[from].includes(to)) wrong.push(`${file.path} imports ${path}`);
    }
  }
  assertEquals(wrong, []);
});

Deno.test("src/ imports another folder through its mod.ts only", () => {
  const wrong: string[] = [];
  for (const file of sources) {
    for (const specifier of importsOf(file).filter((name) => name.startsWith("."))) {
      const path = importedPath(file, specifier);
      const to = folderOf(path);
      if (to === folderOf(file.path) || path === manifest || path.endsWith(".wgsl")) continue;
      if (path !== `src/${to}/mod.ts`) wrong.push(`${file.path} imports ${path}`);
    }
  }
  assertEquals(wrong, []);
});

Deno.test("each folder of src/ has a front door", () => {
  const folders = new Set(sources.map(({ path }) => folderOf(path)).filter((folder) => folder !== ""));
  const doors = new Set(sources.map(({ path }) => path));
  assertEquals([...folders].filter((folder) => !doors.has(`src/${folder}/mod.ts`)), []);
});

Deno.test("packages come by the names of the import map", async () => {
  const { imports } = JSON.parse(await Deno.readTextFile(join(root, manifest))) as {
    imports: Record<string, string>;
  };
  for (const [name, target] of Object.entries(imports)) {
    if (target.startsWith(".")) continue;
    assert(/^npm:(@[\w-]+\/)?[\w-]+@\d+\.\d+\.\d+$/.test(target), `${name} is not pinned: ${target}`);
  }
  const known = Object.keys(imports);
  const wrong = typeScript.flatMap((file) =>
    importsOf(file)
      .filter((specifier) => !/^(\.|node:)/.test(specifier))
      .filter((specifier) => !known.some((name) => specifier === name || specifier.startsWith(`${name}/`)))
      .map((specifier) => `${file.path} imports ${specifier}`)
  );
  assertEquals(wrong, []);
});

Deno.test("only src/gpu/device touches navigator.gpu", () => {
  const touching = where(sources, /\bnavigator\s*(\?\.|\.)\s*gpu\b/);
  assertEquals(touching.filter((path) => !path.startsWith("src/gpu/device/")), []);
});

Deno.test("only src/main.ts reads the arguments and the environment", () => {
  const reading = where(sources, /\bDeno\s*\.\s*(args|env)\b|\bprocess\s*\.\s*(argv|env)\b/);
  assertEquals(reading.filter((path) => path !== "src/main.ts"), []);
});

Deno.test("only src/cli and src/main.ts write to the terminal", () => {
  // The worker's stdout is its pipe to the engine.
  const allowed = ["src/main.ts", "src/engine/worker.ts"];
  const writing = where(sources, /\bconsole\s*\.\s*\w+\(|\bDeno\s*\.\s*(stdout|stderr)\b/);
  assertEquals(writing.filter((path) => !allowed.includes(path) && !path.startsWith("src/cli/")), []);
});

// The words are taken apart, so that this file passes its own test.
const banned: readonly [what: string, pattern: RegExp][] = [
  ["an open end", new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "X" + "XX"].join("|")})\\b`)],
  ["a silenced linter", new RegExp("deno-lint-" + "ignore")],
  ["a silenced compiler", new RegExp(`@ts-(${["ignore", "expect-error", "nocheck"].join("|")})`)],
  ["the type any", /(:|\bas|<|,)\s*any\b(?!\s+\w)/],
];

Deno.test("TypeScript has no open ends and silences nobody", () => {
  const wrong = typeScript.flatMap((file) =>
    banned.filter(([, pattern]) => pattern.test(withoutStrings(file.text))).map(([what]) => `${file.path}: ${what}`)
  );
  assertEquals(wrong, []);
});

Deno.test("src/ asserts nothing to be non-null", () => {
  const wrong = sources.flatMap(({ path, text }) =>
    withoutStrings(text).split("\n")
      .map((line, index) => ({ line, place: `${path}:${index + 1}` }))
      .filter(({ line }) => !/^\s*(\/\/|\*|\/\*)/.test(line) && /[\w)\]]!(?=[.,;)\]}[]|\s*$)/.test(line))
      .map(({ place }) => place)
  );
  assertEquals(wrong, []);
});

/** Prose in strings is no code. Templates stay: they hold code. */
function withoutStrings(text: string): string {
  return text.replace(/"(?:[^"\\\n]|\\.)*"/g, '""');
}

Deno.test("files are named for their subject", () => {
  const wrong = typeScript.map(({ path }) => path).filter((path) =>
    /(^|\/)(utils?|helpers?|misc|common)\.ts$/.test(path)
  );
  assertEquals(wrong, []);
});

Deno.test("files of src/ fit in a head", () => {
  const longest = 400;
  const wrong = sources
    .map(({ path, text }) => ({ path, lines: text.split("\n").length - 1 }))
    .filter(({ lines }) => lines > longest)
    .map(({ path, lines }) => `${path}: ${lines} lines`);
  assertEquals(wrong, []);
});

const textExtensions = [".ts", ".wgsl", ".proto", ".md", ".json", ".yaml", ".py", ".lock"];

Deno.test("text files end in one newline and have no stray characters or machine's paths", async () => {
  const folders = ["src", "tests", "bench", "proto", ".ci"];
  const files = await readAll(folders, (path) => textExtensions.includes(extname(path)) || path.startsWith(".ci/"));
  for await (const entry of Deno.readDir(root)) {
    if (!entry.isFile) continue;
    if (entry.name === "multistep" || entry.name === "LICENSE" || textExtensions.includes(extname(entry.name))) {
      files.push({ path: entry.name, text: await Deno.readTextFile(join(root, entry.name)) });
    }
  }
  const wrong: string[] = [];
  const machinePath = new RegExp(["/wo" + "rk/", "/ro" + "ot/", "/home/\\w+/"].join("|"));
  for (const { path, text } of files) {
    if (text.includes("\r\n")) wrong.push(`${path}: CRLF`);
    if (isWritten(path) && !path.startsWith("tests/golden/")) {
      if (text !== "" && !/[^\n]\n$/.test(text)) wrong.push(`${path}: does not end in one newline`);
      if (/[ \t]$/m.test(text)) wrong.push(`${path}: blanks at the end of a line`);
    }
    if (machinePath.test(text)) wrong.push(`${path}: names a path of one machine`);
  }
  assertEquals(wrong, []);
});
