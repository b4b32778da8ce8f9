import type { AdapterDescription } from "../device/mod.ts";

/** What was measured for one question. */
export interface Choice {
  /** Name of a candidate. */
  readonly chosen: string;
  /** Of the candidates that gave the right result. */
  readonly milliseconds: Readonly<Record<string, number>>;
  /** Candidates that were refused or gave a wrong result, and why. */
  readonly dropped: Readonly<Record<string, string>>;
}

/** What choices hold for: on another adapter, with another driver or other kernels they are to be made anew. */
export interface TuningSubject {
  readonly adapter: Pick<AdapterDescription, "vendor" | "architecture" | "device" | "description" | "subgroupSize">;
  /** The driver's files, with what tells their version. */
  readonly drivers: readonly string[];
  /** Of Multistep. */
  readonly version: string;
}

/** Marks the file's layout. */
const FORMAT = "multistep tuning 1";

/**
 * The choices made on one adapter, by question, in a file of their own. A choice never changes once it is made: other
 * kernels may give other bits, and a resumed run must go on with those it began with.
 */
export class Choices {
  readonly #path: string;
  readonly #subject: TuningSubject;
  readonly #known: Map<string, Choice>;
  #written: Promise<void> = Promise.resolve();

  private constructor(path: string, subject: TuningSubject, known: Map<string, Choice>) {
    this.#path = path;
    this.#subject = subject;
    this.#known = known;
  }

  /**
   * Reads the subject's file in a folder, which need not be there. A file that is damaged or holds for something else
   * counts for nothing and is written anew with the first choice; `warn` is told.
   */
  static async open(
    folder: string,
    subject: TuningSubject,
    warn: (message: string) => void,
  ): Promise<Choices> {
    const path = `${folder}/${await fileName(subject)}`;
    try {
      return new Choices(path, subject, await read(path, subject));
    } catch (error) {
      warn(`Cannot use the tuned choices, they will be made again: ${error instanceof Error ? error.message : error}`);
      return new Choices(path, subject, new Map());
    }
  }

  get(key: string): Choice | undefined {
    return this.#known.get(key);
  }

  /**
   * Keeps a choice, unless there is one, and writes the file.
   * @throws {Error} when it cannot be written; the choice holds for this process all the same.
   */
  async add(key: string, choice: Choice): Promise<void> {
    if (this.#known.has(key)) return;
    this.#known.set(key, choice);
    // One after the other: they share a temporary name.
    const written = this.#written.then(() => this.#write());
    this.#written = written.catch(() => {});
    await written;
  }

  /** To a temporary name, to the disk, then renamed: a reader sees all of it or what was before. */
  async #write(): Promise<void> {
    const choices = Object.fromEntries([...await this.#onDisk(), ...this.#known]);
    const text = JSON.stringify({ format: FORMAT, ...this.#subject, choices }, undefined, 2);
    await Deno.mkdir(this.#path.slice(0, this.#path.lastIndexOf("/")), { recursive: true });
    const temporary = `${this.#path}.${Deno.pid}.partial`;
    {
      using file = await Deno.open(temporary, { write: true, create: true, truncate: true });
      const bytes = new TextEncoder().encode(`${text}\n`);
      let written = 0;
      while (written < bytes.length) written += await file.write(bytes.subarray(written));
      await file.sync();
    }
    await Deno.rename(temporary, this.#path);
  }

  /** What another process, a benchmark beside a server, has added meanwhile. */
  async #onDisk(): Promise<Map<string, Choice>> {
    try {
      return await read(this.#path, this.#subject);
    } catch {
      // Damaged or foreign: told when it was opened, and replaced now.
      return new Map();
    }
  }
}

/** Readable, and different for different subjects: "llvmpipe-llvm-15-0-6-512-bits-0a1b2c3d.json". */
async function fileName(subject: TuningSubject): Promise<string> {
  const { description, device } = subject.adapter;
  const words = (description || device).toLowerCase().replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-|-$/g, "");
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(JSON.stringify(subject)));
  return `${words || "adapter"}-${new Uint8Array(digest).toHex().slice(0, 8)}.json`;
}

async function read(path: string, subject: TuningSubject): Promise<Map<string, Choice>> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return new Map();
    throw error;
  }
  const name = path.slice(path.lastIndexOf("/") + 1);
  const content = parse(text, name);
  if (content.format !== FORMAT) throw new Error(`"${name}" is no table of choices of this version`);
  const { adapter, drivers, version } = content;
  if (JSON.stringify({ adapter, drivers, version }) !== JSON.stringify(subject)) {
    throw new Error(`"${name}" holds for another adapter, driver or version`);
  }
  const choices = isRecord(content.choices) ? Object.entries(content.choices) : [];
  return new Map(choices.map(([key, choice]) => {
    if (!isChoice(choice)) throw new Error(`"${name}" is damaged at "${key}"`);
    return [key, choice];
  }));
}

function parse(text: string, name: string): Record<string, unknown> {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (cause) {
    throw new Error(`"${name}" is no JSON`, { cause });
  }
  if (!isRecord(content)) throw new Error(`"${name}" is no JSON object`);
  return content;
}

function isChoice(value: unknown): value is Choice {
  return isRecord(value) && typeof value.chosen === "string" && hasValues(value.milliseconds, "number") &&
    hasValues(value.dropped, "string");
}

function hasValues(value: unknown, type: "number" | "string"): boolean {
  return isRecord(value) && Object.values(value).every((entry) => typeof entry === type);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
