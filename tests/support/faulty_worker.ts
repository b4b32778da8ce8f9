/**
 * A worker whose GPU fails once, as its URL's query says: `?fault=lost&after=20` at the 20th submit of the first
 * process that a data folder sees, `?fault=lost` at the first one after the file `fail-now` is there. The file
 * `fault-happened` keeps the next process from failing too. `?fault=slow` is a driver that compiles for a tenth of a
 * second whenever a pipeline is created, `?fault=reopen-hangs` one that opens for the first process alone.
 */
import { existsSync } from "node:fs";
import { serveEngine } from "../../src/engine/worker.ts";
import { GpuDevice } from "../../src/gpu/mod.ts";

type Fault =
  | "lost"
  | "validation"
  | "shader"
  | "out-of-memory"
  | "hang"
  | "crash"
  | "open"
  | "open-hangs"
  | "reopen-hangs"
  | "slow";

const query = new URL(import.meta.url).searchParams;
const fault = query.get("fault") as Fault;
const after = query.get("after");

await serveEngine({
  async openDevice(dataDir) {
    const mark = `${dataDir}/fault-happened`;
    const happen = () => Deno.writeTextFileSync(mark, fault);
    if (fault === "reopen-hangs" && existsSync(mark)) { while (true); }
    if (fault === "reopen-hangs") happen();
    if (existsSync(mark)) return await GpuDevice.open();
    if (fault === "open") {
      happen();
      Deno.exit(7);
    }
    if (fault === "open-hangs") {
      happen();
      while (true);
    }
    const device = await GpuDevice.open();
    if (fault === "slow") {
      slowDown(device, happen);
      return device;
    }
    let calls = 0;
    const isTime = () => after ? ++calls === Number(after) : existsSync(`${dataDir}/fail-now`) && ++calls === 1;
    arm(device, { isTime, happen });
    return device;
  },
});

function slowDown({ handle }: GpuDevice, happen: () => void): void {
  onCall(() => true, handle, "createComputePipeline", (create, descriptor) => {
    happen();
    for (const end = performance.now() + 100; performance.now() < end;);
    return create(descriptor);
  });
}

interface Trigger {
  isTime(): boolean;
  happen(): void;
}

function arm(device: GpuDevice, { isTime, happen }: Trigger): void {
  const { handle } = device;
  const { queue } = handle;
  switch (fault) {
    case "shader":
      return onCall(isTime, handle, "createShaderModule", (create, descriptor) => {
        happen();
        return create({ ...descriptor, code: `${descriptor.code}\nfn broken() -> f32 { return 1u; }` });
      });
    case "out-of-memory":
      return onCall(isTime, handle, "popErrorScope", async (pop) => {
        await pop();
        happen();
        return new GPUOutOfMemoryError("Not enough memory left");
      });
    case "lost":
    case "validation":
    case "hang":
    case "crash":
      return onCall(isTime, queue, "submit", (submit, commands) => {
        happen();
        if (fault === "lost") handle.destroy();
        if (fault === "validation") handle.createBuffer({ size: 4, usage: 0xffff });
        while (fault === "hang");
        // Not within a promise of the job: what kills a process is an error that nobody catches.
        if (fault === "crash") setTimeout(() => Promise.reject(new Error("a bug")), 0);
        return submit(commands);
      });
  }
}

/** Replaces one call of a method, when it is time. */
function onCall<Name extends string, T extends Record<Name, (...args: never[]) => unknown>>(
  isTime: () => boolean,
  target: T,
  name: Name,
  replacement: (original: T[Name], ...args: Parameters<T[Name]>) => ReturnType<T[Name]>,
): void {
  const original = target[name].bind(target) as T[Name];
  const wrapped = (...args: Parameters<T[Name]>) => isTime() ? replacement(original, ...args) : original(...args);
  Object.defineProperty(target, name, { value: wrapped });
}
