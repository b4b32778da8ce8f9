/** Files from the web, each of them fetched in as many goes as it takes. */
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { asStorageError, DatasetError, isNotFound } from "../errors.ts";
import { httpGet, type HttpRules, shown, unavailable } from "./http_get.ts";
import {
  safeFileName,
  type TransferLimits,
  TransferMeter,
  type TransferOptions,
  type TransferredSource,
} from "./transferred_source.ts";

export interface RemoteFile {
  readonly url: URL;
  /** Hexadecimal; of the checksums given, all must be the file's. */
  readonly sha256?: string;
  readonly md5?: string;
}

export interface FetchOptions {
  /** Of several files: the folder that they are put in, which is then what is imported. */
  readonly folder?: string;
  readonly allowPrivate: boolean;
  readonly limits: TransferLimits;
  /** Milliseconds before each go after the first one that failed, counted anew whenever bytes came. */
  readonly delays?: readonly number[];
}

const DELAYS: readonly number[] = [1_000, 4_000, 15_000];

/** Files that are fetched; interrupted, the next attempt goes on where the other servers allow it. */
export function fetchedFiles(files: readonly RemoteFile[], options: FetchOptions): TransferredSource {
  return {
    identity: JSON.stringify(files.map(({ url, sha256, md5 }) => [url.href, sha256, md5])),
    async bring(staging, transfer) {
      const folder = options.folder === undefined ? staging : join(staging, options.folder);
      await Deno.mkdir(folder, { recursive: true });
      const paths: string[] = [];
      for (const file of files) {
        const path = join(folder, safeFileName(file.url.pathname));
        if (!(await isThere(path))) await new Download(file, path, { ...options, ...transfer }).run();
        paths.push(path);
      }
      return options.folder === undefined ? paths[0] : folder;
    },
  };
}

/** What was got so far is of this version of the file. */
interface Version {
  /** A strong entity tag or a time of change, as `If-Range` takes it. */
  readonly validator?: string;
}

class Download {
  readonly #part: string;
  readonly #meter: TransferMeter;

  constructor(
    readonly file: RemoteFile,
    readonly path: string,
    readonly options: FetchOptions & TransferOptions,
  ) {
    this.#part = `${path}.part`;
    this.#meter = new TransferMeter(`Cannot fetch ${shown(file.url)}`, options.limits);
  }

  /** The file has its name once it is whole and its checksums are right. */
  async run(): Promise<void> {
    const delays = this.options.delays ?? DELAYS;
    for (let failures = 0;;) {
      const before = await this.#length();
      try {
        await this.#go(before);
        break;
      } catch (error) {
        const isWorthAnother = error instanceof DatasetError && error.kind === "unavailable";
        if (!isWorthAnother) throw error;
        if (await this.#length() > before) failures = 0;
        if (failures === delays.length) throw error;
        await delay(delays[failures++], undefined, { signal: this.options.signal });
      }
    }
    await this.#verify();
    await this.#storing(() => Deno.rename(this.#part, this.path));
  }

  /** @param have bytes that are there */
  async #go(have: number): Promise<void> {
    const { file: { url }, options: { signal } } = this;
    const { validator } = await this.#version();
    const canResume = have > 0 && validator !== undefined;
    const headers: Record<string, string> = canResume ? { range: `bytes=${have}-`, "if-range": validator } : {};
    const response = await httpGet(url, { headers, signal, ...this.#rules() });
    try {
      if (response.statusCode === 416) await this.#storing(() => Deno.remove(this.#part));
      const start = this.#startOf(response, have);
      const total = start + Number(response.headers["content-length"] ?? NaN);
      if (total >= 0) this.#meter.announce(total, total - start);
      if (start === 0) await this.#begin(response);
      await this.#append(response, { start, total });
    } finally {
      response.destroy();
    }
  }

  #rules(): HttpRules {
    const { file: { sha256, md5 }, options: { allowPrivate } } = this;
    return { allowPrivate, allowPlain: sha256 !== undefined || md5 !== undefined };
  }

  /** @returns where the body belongs @throws {DatasetError} where it is not the file, or not now */
  #startOf({ statusCode = 0, headers }: IncomingMessage, have: number): number {
    if (statusCode === 200) return 0;
    if (statusCode === 206 && headers["content-range"]?.startsWith(`bytes ${have}-`)) return have;
    const { title } = this.#meter;
    // 416: the file is shorter by now, and the next go begins anew.
    const isPassing = statusCode >= 500 || [408, 416, 429].includes(statusCode);
    throw new DatasetError(isPassing ? "unavailable" : "invalid", `${title}: the server there answers ${statusCode}`);
  }

  /** From the first byte on; remembers which version it is. */
  async #begin({ headers }: IncomingMessage): Promise<void> {
    const { etag } = headers;
    const validator = etag !== undefined && !etag.startsWith("W/") ? etag : headers["last-modified"];
    await this.#storing(async () => {
      await Deno.writeFile(this.#part, new Uint8Array());
      await Deno.writeTextFile(`${this.#part}.json`, JSON.stringify({ validator }));
    });
  }

  async #append(
    response: IncomingMessage,
    { start, total }: { readonly start: number; readonly total: number },
  ): Promise<void> {
    const { file: { url }, options: { signal, onBytes } } = this;
    using output = await this.#storing(() => Deno.open(this.#part, { append: true }));
    let done = start;
    try {
      for await (const chunk of response as AsyncIterable<Uint8Array>) {
        signal.throwIfAborted();
        this.#meter.reach(done + chunk.length);
        await this.#storing(async () => {
          for (let at = 0; at < chunk.length;) at += await output.write(chunk.subarray(at));
        });
        done += chunk.length;
        onBytes?.(done, Number.isNaN(total) ? 0 : total);
      }
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      throw error instanceof Error ? unavailable(url, error) : error;
    }
    if (done < total) throw unavailable(url, new Error(`it ends after ${done} of ${total} bytes`));
  }

  async #verify(): Promise<void> {
    const { file, options: { signal } } = this;
    const wanted = [["sha256", "SHA-256", file.sha256], ["md5", "MD5", file.md5]] as const;
    const hashes = wanted.map(([algorithm]) => createHash(algorithm));
    using input = await this.#storing(() => Deno.open(this.#part));
    for await (const chunk of input.readable) {
      signal.throwIfAborted();
      for (const hash of hashes) hash.update(chunk);
    }
    wanted.forEach(([, name, expected], i) => {
      const found = hashes[i].digest("hex");
      if (expected === undefined || expected.toLowerCase() === found) return;
      throw new DatasetError("invalid", `${this.#meter.title}: its ${name} is ${found}, not ${expected.toLowerCase()}`);
    });
  }

  async #length(): Promise<number> {
    return await Deno.stat(this.#part).then(({ size }) => size, () => 0);
  }

  async #version(): Promise<Version> {
    try {
      return JSON.parse(await Deno.readTextFile(`${this.#part}.json`));
    } catch (error) {
      if (isNotFound(error) || error instanceof SyntaxError) return {};
      throw asStorageError(error, this.#meter.title);
    }
  }

  async #storing<T>(use: () => Promise<T>): Promise<T> {
    try {
      return await use();
    } catch (error) {
      throw asStorageError(error, this.#meter.title);
    }
  }
}

async function isThere(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
