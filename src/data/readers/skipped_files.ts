import { formatCount, type SkippedFile, type SkippedSummary } from "../dataset.ts";

/** Files named in a sentence. */
const EXAMPLES = 5;
/** Files remembered; a folder of a million others must not fill the memory. */
const REMEMBERED = 1_000;
/** Characters of a path that are kept: an archive may have names of 64 KiB. */
const MAX_PATH = 300;

/** Files of a source that do not become images. All are counted, the first ones remembered. */
export class SkippedFiles {
  #count = 0;
  readonly #files: SkippedFile[] = [];
  #summary: SkippedSummary | undefined;

  get count(): number {
    return this.#count;
  }

  /** In the order they were met. */
  get files(): readonly SkippedFile[] {
    return this.#files;
  }

  /** All so far; later files do not change it. */
  get summary(): SkippedSummary {
    return this.#summary ??= { count: this.#count, files: [...this.#files] };
  }

  /** What an earlier reading of the same source had come to takes the place of all so far. */
  restore({ count, files }: SkippedSummary): void {
    this.#count = count;
    this.#files.splice(0, Infinity, ...files);
    this.#summary = undefined;
  }

  add(path: string, reason: string): void {
    this.#summary = undefined;
    this.#count++;
    if (this.#files.length < REMEMBERED) this.#files.push({ path: path.slice(0, MAX_PATH), reason });
  }

  /** Names the first few; empty where nothing was left out. */
  sentence(prefix: string): string {
    if (this.#count === 0) return "";
    const examples = this.#files.slice(0, EXAMPLES).map(({ path, reason }) => `${path} (${reason})`);
    const more = this.#count > EXAMPLES ? `, and ${formatCount(this.#count - EXAMPLES)} more` : "";
    const files = this.#count === 1 ? "1 file was" : `${formatCount(this.#count)} files were`;
    return `${prefix}${files} left out: ${examples.join(", ")}${more}`;
  }
}
