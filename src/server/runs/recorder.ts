/** A training job's events on their way into the log: bounded in rate, each step and each evaluation once. */
import type { CheckpointInfo, TrainingEvent } from "../../engine/mod.ts";
import { EventCoalescer } from "./coalescer.ts";
import type { RunLog } from "./run_log.ts";
import type { RunCheckpoint, RunEventEntry } from "./run.ts";

/**
 * A job that was resumed repeats the steps since its checkpoint, bit for bit. What the log has of them already is
 * dropped, so that progress events tile the steps, and no watcher sees anything twice.
 */
export class EventRecorder {
  private readonly coalescer: EventCoalescer;
  /** The last step whose metrics are in the log, or on their way there. */
  private covered: number;
  /** The last step whose evaluation is. */
  private evaluated: number;
  private failure: unknown;

  /** @param interval milliseconds between two entries of metrics */
  constructor(private readonly log: RunLog, private readonly id: string, interval: number) {
    const { progress, evaluationStep } = log.get(id);
    this.covered = progress?.step ?? 0;
    this.evaluated = evaluationStep ?? 0;
    this.coalescer = new EventCoalescer((entry) => {
      try {
        this.log.append(this.id, entry);
      } catch (error) {
        // Called from a timer, too, where nobody could catch it.
        this.failure ??= error;
      }
    }, interval);
  }

  /** @throws what the log could not take, this event or one before. */
  record(event: TrainingEvent): void {
    const entry = this.entryOf(event);
    if (entry) this.coalescer.push(entry);
    if (event.kind === "checkpointing") {
      this.flush();
      // Once the checkpoint is there, these steps are not repeated any more, whatever happens.
      this.log.sync();
    }
    this.throwFailure();
  }

  /** Writes what waits. @throws what the log could not take. */
  flush(): void {
    this.coalescer.flush();
    this.throwFailure();
  }

  private find({ path }: CheckpointInfo): RunCheckpoint | undefined {
    return this.log.get(this.id).checkpoints.find((checkpoint) => checkpoint.path === path);
  }

  /** One that was written without being told of has not been compared with others. */
  private asKnown(checkpoint: CheckpointInfo): RunCheckpoint {
    return this.find(checkpoint) ?? { ...checkpoint, best: false };
  }

  private throwFailure(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  /** Undefined: the log has it, or need not have it. */
  private entryOf({ step, epoch, ...body }: TrainingEvent): RunEventEntry | undefined {
    switch (body.kind) {
      case "resumed":
        this.covered = Math.max(this.covered, body.from?.step ?? 0);
        return { step, epoch, body: { ...body, from: body.from && this.asKnown(body.from) } };
      case "preparing":
        return { step, epoch, body };
      case "progress": {
        if (step <= this.covered) return undefined;
        const firstStep = this.covered + 1;
        this.covered = step;
        return { step, epoch, body: { ...body, firstStep } };
      }
      case "evaluation":
        if (step <= this.evaluated) return undefined;
        this.evaluated = step;
        return { step, epoch, body };
      case "checkpoint":
        return this.find(body.checkpoint) ? undefined : { step, epoch, body };
      case "checkpointing":
      case "paused":
        return undefined;
    }
  }
}
