/** What an operation lowers to: compute dispatches over buffers that the plan places. */
import type { ElementType } from "../../wgsl/mod.ts";

/** A buffer the plan owns: a tensor's, or scratch space of one operation. */
export interface BufferHandle {
  readonly id: number;
  readonly label: string;
  /** Size in bytes, a multiple of 16. */
  readonly bytes: number;
}

export interface Binding {
  readonly buffer: BufferHandle;
  readonly access: "read" | "read_write" | "uniform";
  /** In bytes, a multiple of 256; default 0. */
  readonly offset?: number;
  /** In bytes; default: to the buffer's end. */
  readonly size?: number;
}

/** One dispatch. The order of `bindings` is that of `@group(0) @binding(i)`. */
export interface Kernel {
  /** Names the operation and its shape in traces and error messages. */
  readonly label: string;
  /** A whole WGSL module whose entry point is `main`; equal text shares a pipeline. */
  readonly code: string;
  /** Values of the module's `override` constants. */
  readonly constants?: Readonly<Record<string, number>>;
  readonly bindings: readonly Binding[];
  readonly workgroups: readonly [number, number, number];
  /** Reads parameters alone and writes packed buffers alone: an inference plan runs it only after parameters change. */
  readonly parametersOnly?: boolean;
}

/** What kernels may count on; a plain value, so that planning needs no GPU. */
export interface Target {
  /** Software Vulkan: barriers are slow, loads cost more than arithmetic, uniform loads are cheap. */
  readonly software: boolean;
  /** Lanes of every subgroup; 0 where subgroup operations are not granted or the size varies. */
  readonly subgroupSize: number;
  readonly maxUniformBindingBytes: number;
  readonly maxStorageBindingBytes: number;
  readonly maxBufferBytes: number;
  readonly maxWorkgroupsPerDimension: number;
}

/** One way to compute something: its result is that of the other candidates up to rounding. */
export interface Candidate {
  /** Form and tile, unique among the candidates: "lanes 4x8x2". */
  readonly name: string;
  lower(memory: ScratchAllocator): Kernel[];
}

/** What an operation leaves to the plan to choose. */
export interface Question {
  /** Names all that decides the candidates' kernels, so that equal keys may share an answer. */
  readonly key: string;
  /** At least one; the first is the cost model's. */
  readonly candidates: readonly Candidate[];
  /** Whether kernels that read parameters alone run every step. */
  readonly repack: boolean;
  /** How images are stored; what is not named is f32. */
  readonly elementTypes: ReadonlyMap<BufferHandle, ElementType>;
}

/** Where an operation's scratch buffers come from, and which of its forms it takes. */
export interface ScratchAllocator {
  /** Holds its content within one operation; other operations reuse it. */
  scratch(label: string, bytes: number): BufferHandle;
  /** Holds its content from step to step, for parameters packed as a kernel wants them; may be bound as a uniform. */
  packed(label: string, bytes: number): BufferHandle;
  /**
   * Picks one of several ways to compute the same.
   * @param key Names all that decides the candidates' kernels, so that equal keys may share an answer.
   * @param candidates At least one; the first is taken where nothing is known better.
   */
  choose(key: string, candidates: readonly Candidate[]): Candidate;
}

/** An activation in memory: NHWC, channels padded to a multiple of 4, `halo` pixels of zeros around every image. */
export interface ImageBuffer {
  readonly buffer: BufferHandle;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly halo: number;
  /** How its values are stored; default f32. */
  readonly elementType?: ElementType;
}

/** A parameter or its gradient within a packed buffer; `offset` in bytes, a multiple of 256. */
export interface ParameterRange {
  readonly buffer: BufferHandle;
  readonly offset: number;
  /** Scalars. */
  readonly length: number;
}
