/** Frames that cost a server work and a client nothing: some are every client's right, many are an attack. */
import { type FrameHeader, FrameType } from "./frames.ts";

const suspicious: ReadonlySet<number> = new Set([
  FrameType.priority,
  FrameType.resetStream,
  FrameType.settings,
  FrameType.ping,
  FrameType.continuation,
]);
const endsStream = 0x1;

/** Suspicious frames that may come at once, and that may come in a second for long. */
const burst = 2_000;
const rate = 200;

export class FloodMeter {
  private level = 0;
  private lastTime = performance.now();

  /** @returns whether the connection has sent more than any client needs */
  isFlood({ type, length, flags }: FrameHeader): boolean {
    const isEmpty = type === FrameType.data && length === 0 && (flags & endsStream) === 0;
    if (!isEmpty && !suspicious.has(type)) return false;
    const now = performance.now();
    this.level = Math.max(0, this.level - rate * (now - this.lastTime) / 1_000) + 1;
    this.lastTime = now;
    return this.level > burst;
  }
}
