/** Trained networks as files, read piece by piece. */
import { join } from "node:path";
import type { Engine, ExportedModel } from "../engine/mod.ts";
import { resolveInside } from "./allowed_paths.ts";
import { InvalidFieldError, RequestError } from "./errors.ts";
import type { Run, RunCheckpoint } from "./runs/run.ts";
import type { PieceOrder, WhichCheckpoint } from "./validation/export.ts";

export interface ExportedPiece {
  readonly checkpoint: RunCheckpoint;
  readonly data: Uint8Array<ArrayBuffer>;
  readonly totalBytes: number;
  /** Of the whole file. */
  readonly sha256: string;
}

/** A file held open, so that who reads it gets all of it though its checkpoint is deleted meanwhile. */
interface OpenExport {
  readonly checkpoint: RunCheckpoint;
  readonly model: ExportedModel;
  readonly file: Deno.FsFile;
}

export interface ModelExportsOptions {
  readonly engine: Engine;
  /** Absolute. */
  readonly dataDir: string;
  /** Milliseconds that a file stays open after its last piece; default one minute. */
  readonly idleTime?: number;
}

/** Where ImportModel puts checkpoints, in the data folder. */
const importedFolder = "models";

/** Files open at a time; one more closes the one that nobody has read for longest. */
const mostOpen = 16;

export class ModelExports {
  private readonly engine: Engine;
  private readonly dataDir: string;
  private readonly idleTime: number;
  /** By content and path of the checkpoint, the one read longest ago first. */
  private readonly opened = new Map<string, Promise<OpenExport>>();
  private readonly timers = new Map<string, ReturnType<typeof setTimeout>>();
  private readonly closing = new AbortController();

  constructor({ engine, dataDir, idleTime = 60_000 }: ModelExportsOptions) {
    this.engine = engine;
    this.dataDir = dataDir;
    this.idleTime = idleTime;
  }

  /**
   * A piece of a run's network; shorter than the limit at the end alone.
   * @throws {RequestError} failed-precondition: the run has no such checkpoint; not-found: none of that path;
   *   out-of-range: the offset is past the end.
   * @throws {EngineError} the checkpoint cannot be read, or its export not be written.
   */
  async read(run: Run, { which, ...order }: PieceOrder & { readonly which: WhichCheckpoint }): Promise<ExportedPiece> {
    const path = which.kind === "path" ? which.path : choose(run, which.kind).path;
    return await this.piece(path, order, () => find(run, path));
  }

  /**
   * The same of an imported model.
   * @throws {RequestError} not-found, or invalid-argument: the path is none of an imported model's checkpoint.
   */
  async readImported(path: string, order: PieceOrder): Promise<ExportedPiece> {
    return await this.piece(path, order, () => this.findImported(path));
  }

  close(): void {
    this.closing.abort(new DOMException("The server stopped", "AbortError"));
    for (const key of this.opened.keys()) this.forget(key);
  }

  private async piece(
    path: string,
    order: PieceOrder,
    find: () => RunCheckpoint | Promise<RunCheckpoint>,
  ): Promise<ExportedPiece> {
    const { offset, limit } = order;
    const key = [order.format, order.optimizerState ? "all" : "weights", path].join(" ");
    const opened = this.opened.get(key) ?? this.open(find, order);
    this.keep(key, opened);
    const { checkpoint, model, file } = await opened;
    if (offset > model.bytes) {
      throw new RequestError(
        "out-of-range",
        `Field "offset" must be at most ${model.bytes}, the size of the file, got ${offset}`,
      );
    }
    const data = readAt(file, offset, Math.min(limit, model.bytes - offset));
    return { checkpoint, data, totalBytes: model.bytes, sha256: model.sha256 };
  }

  private async open(
    find: () => RunCheckpoint | Promise<RunCheckpoint>,
    { optimizerState, format }: PieceOrder,
  ): Promise<OpenExport> {
    const checkpoint = await find();
    const job = { checkpoint: checkpoint.path, optimizerState, format };
    // Shared by calls, so no call's signal ends it.
    const model = await this.engine.exportModel(job, this.closing.signal);
    return { checkpoint, model, file: Deno.openSync(join(this.dataDir, model.path)) };
  }

  private async findImported(given: string): Promise<RunCheckpoint> {
    const path = await resolveInside(this.dataDir, "path", given);
    if (!path.startsWith(`${importedFolder}/`)) {
      throw new InvalidFieldError("path", given, "an imported model's checkpoint where no run is named");
    }
    const { size } = await Deno.stat(join(this.dataDir, path));
    return { path, step: 0, epoch: 0, bytes: size, best: false };
  }

  /** Holds an export open for some time from now on. */
  private keep(key: string, opened: Promise<OpenExport>): void {
    this.opened.delete(key);
    this.opened.set(key, opened);
    opened.catch(() => this.forget(key));
    clearTimeout(this.timers.get(key));
    this.timers.set(key, setTimeout(() => this.forget(key), this.idleTime));
    for (const oldest of this.opened.keys()) {
      if (this.opened.size <= mostOpen) break;
      this.forget(oldest);
    }
  }

  private forget(key: string): void {
    const opened = this.opened.get(key);
    this.opened.delete(key);
    clearTimeout(this.timers.get(key));
    this.timers.delete(key);
    opened?.then(({ file }) => file.close(), () => {});
  }
}

function choose({ id, state, checkpoints }: Run, choice: "newest" | "best"): RunCheckpoint {
  const chosen = choice === "newest" ? checkpoints.at(-1) : checkpoints.find(({ best }) => best);
  if (chosen) return chosen;
  const lacking = choice === "newest" ? "no checkpoint" : "no checkpoint that was evaluated";
  throw new RequestError("failed-precondition", `Run "runs/${id}" is ${state} and has ${lacking}`);
}

function find({ id, checkpoints }: Run, path: string): RunCheckpoint {
  const found = checkpoints.find((checkpoint) => checkpoint.path === path);
  if (found) return found;
  throw new RequestError(
    "not-found",
    `Run "runs/${id}" has no checkpoint ${JSON.stringify(path)} any more; GetRun tells which it has`,
  );
}

function readAt(file: Deno.FsFile, offset: number, length: number): Uint8Array<ArrayBuffer> {
  const data = new Uint8Array(length);
  file.seekSync(offset, Deno.SeekMode.Start);
  let filled = 0;
  while (filled < length) {
    const read = file.readSync(data.subarray(filled));
    if (read === null) throw new Error(`The export ended at byte ${offset + filled}, before its size`);
    filled += read;
  }
  return data;
}
