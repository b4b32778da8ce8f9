/** How much memory this process may take: a software adapter's memory is the machine's own, and never refuses. */

/** Bytes: the machine's memory, or the limit of the control group (a container, a service) where that is smaller. */
export function availableMemory(): number {
  return Math.min(Deno.systemMemoryInfo().total, ...controlGroupLimits());
}

/** The limits that hold for this process: its own control group's and those of the groups around it. */
function controlGroupLimits(): number[] {
  return limitFiles(readText("/proc/self/cgroup") ?? "").flatMap((file) => parseLimit(readText(file)) ?? []);
}

/**
 * The files that tell the limits, by what /proc/self/cgroup says: "0::/a/b" (version 2), "9:memory:/a/b" (version 1).
 * Within a container the paths may be those of the host, so the mount's root is always one of them.
 */
export function limitFiles(membership: string): string[] {
  return membership.split("\n").flatMap((line) => {
    const [, hierarchy, controllers, path] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? [];
    if (hierarchy === "0") return ancestors(path).map((folder) => `/sys/fs/cgroup${folder}/memory.max`);
    if (!controllers?.split(",").includes("memory")) return [];
    return ancestors(path).map((folder) => `/sys/fs/cgroup/memory${folder}/memory.limit_in_bytes`);
  });
}

/** Undefined where there is no limit: version 2 says "max", version 1 a number near 2^63. */
export function parseLimit(text: string | undefined): number | undefined {
  const limit = Number(text?.trim() || NaN);
  return Number.isSafeInteger(limit) ? limit : undefined;
}

/** "/a/b": "/a/b", "/a" and "". */
function ancestors(path: string): string[] {
  const names = path.split("/").filter((name) => name !== "");
  return Array.from({ length: names.length + 1 }, (_, i) => ["", ...names.slice(0, names.length - i)].join("/"));
}

function readText(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return undefined;
  }
}
