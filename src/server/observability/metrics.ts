/** What a Prometheus server reads of this one. Names end in their unit, as its conventions want. */
import { cpuUsage } from "node:process";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { TrainingEvent } from "../../engine/mod.ts";
import type { Call } from "../call.ts";

/** What is looked at when somebody reads. */
export interface MetricsSources {
  /** Runs by state. */
  runs(): Readonly<Record<string, number>>;
  queuedRuns(): number;
  connections(): number;
  acceptedConnections(): number;
  refusedConnections(): number;
  callsUnderWay(): number;
}

/** Seconds: answers from the store take milliseconds, watchers hours. */
const durations = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 600, 3600];

export class Metrics {
  readonly contentType: string;
  private readonly registry = new Registry();
  private readonly calls = this.counter("rpc_calls_total", "Calls that have ended", ["method", "code"]);
  private readonly callSeconds = new Histogram({
    name: "multistep_rpc_duration_seconds",
    help: "From a call's headers to the end of its answer",
    labelNames: ["method"],
    buckets: durations,
    registers: [this.registry],
  });
  private readonly steps = this.counter("training_steps_total", "Training steps done");
  private readonly images = this.counter("training_images_total", "Images trained on");
  private readonly trainingRate = this.gauge("training_images_per_second", "Of the run that trains; 0: none does");
  private readonly plannedBytes = this.gauge("gpu_memory_planned_bytes", "What the run that trains needs at its peak");
  private readonly batches = this.counter("inference_batches_total", "Batches of images that the engine classified");
  private readonly inferredImages = this.counter("inference_images_total", "Images that the engine classified");
  private readonly inferenceSeconds = new Histogram({
    name: "multistep_inference_batch_duration_seconds",
    help: "From asking the engine for a batch to its answer, turns of training in between included",
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers: [this.registry],
  });

  constructor(sources: MetricsSources) {
    this.contentType = this.registry.contentType;
    this.observe("runs_queued", "Runs that wait for the GPU", () => sources.queuedRuns());
    this.observe("connections_open", "Connections there are", () => sources.connections());
    this.observe("streams_open", "Calls under way", () => sources.callsUnderWay());
    this.observe("connections_accepted", "Connections since the start", () => sources.acceptedConnections());
    this.observe("connections_refused", "Connections closed for the limit", () => sources.refusedConnections());
    new Gauge({
      name: "multistep_runs",
      help: "Runs by state",
      labelNames: ["state"],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const [state, count] of Object.entries(sources.runs())) this.set({ state }, count);
      },
    });
    this.observeProcess();
  }

  /** The text that a Prometheus server reads. */
  read(): Promise<string> {
    return this.registry.metrics();
  }

  callEnded({ method, status, began }: Call): void {
    this.calls.inc({ method, code: status ?? "unknown" });
    this.callSeconds.observe({ method }, (performance.now() - began) / 1000);
  }

  /** @param steps done since the last event of the job */
  trained(event: TrainingEvent, steps: number): void {
    if (event.kind !== "progress") return;
    this.steps.inc(steps);
    this.images.inc(event.metrics.images);
    this.trainingRate.set(event.imagesPerSecond);
  }

  /** @param bytes of GPU memory that the run which trains needs at its peak */
  planned(bytes: number): void {
    this.plannedBytes.set(bytes);
  }

  trainingEnded(): void {
    this.trainingRate.set(0);
    this.plannedBytes.set(0);
  }

  inferred(images: number, seconds: number): void {
    this.batches.inc();
    this.inferredImages.inc(images);
    this.inferenceSeconds.observe(seconds);
  }

  /** Under the names that every Prometheus client library uses. */
  private observeProcess(): void {
    const began = Date.now() / 1000;
    const observe = (name: string, help: string, value: () => number) => this.observe(name, help, value, "process");
    observe("start_time_seconds", "When the server was started, since 1970", () => began);
    observe("resident_memory_bytes", "Memory of the process", () => Deno.memoryUsage().rss);
    observe("heap_bytes", "Memory of JavaScript objects", () => Deno.memoryUsage().heapUsed);
    observe("external_memory_bytes", "Memory of buffers outside of the heap", () => Deno.memoryUsage().external);
    observe("open_fds", "Open files and sockets; only Linux tells", countOpenFiles);
    observe("cpu_seconds", "Time on the CPU, of all threads", () => {
      const { user, system } = cpuUsage();
      return (user + system) / 1e6;
    });
  }

  private counter<L extends string>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> {
    return new Counter({ name: `multistep_${name}`, help, labelNames: [...labelNames], registers: [this.registry] });
  }

  private gauge(name: string, help: string): Gauge {
    return new Gauge({ name: `multistep_${name}`, help, registers: [this.registry] });
  }

  private observe(name: string, help: string, value: () => number, prefix = "multistep"): void {
    new Gauge({
      name: `${prefix}_${name}`,
      help,
      registers: [this.registry],
      collect() {
        this.set(value());
      },
    });
  }
}

function countOpenFiles(): number {
  try {
    return [...Deno.readDirSync("/proc/self/fd")].length;
  } catch {
    return 0;
  }
}
