import { assert, assertEquals } from "@std/assert";
import { availableMemory, limitFiles, parseLimit } from "../../src/gpu/device/system_memory.ts";

Deno.test("limitFiles() names the files of the process's control group and of those around it", () => {
  assertEquals(limitFiles("0::/\n"), ["/sys/fs/cgroup/memory.max"]);
  assertEquals(limitFiles("0::/system.slice/a.service\n"), [
    "/sys/fs/cgroup/system.slice/a.service/memory.max",
    "/sys/fs/cgroup/system.slice/memory.max",
    "/sys/fs/cgroup/memory.max",
  ]);
  assertEquals(limitFiles("5:cpu,cpuacct:/a\n9:memory:/docker/x\n"), [
    "/sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes",
    "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
  ]);
  assertEquals(limitFiles(""), []);
});

Deno.test("parseLimit() reads a number of bytes, and no limit from what says that there is none", () => {
  assertEquals(parseLimit("2147483648\n"), 2147483648);
  assertEquals(["max\n", "9223372036854771712\n", "", undefined].map(parseLimit), Array(4).fill(undefined));
});

Deno.test("availableMemory() is at most the machine's memory", () => {
  assert(availableMemory() > 0 && availableMemory() <= Deno.systemMemoryInfo().total);
});
