/** WebGPU tells a driver's name, not its version; its files do. */

/** Mesa's drivers, NVIDIA's, AMD's own. Not libvulkan.so: that is the loader. */
const DRIVER_FILE = /\/lib(vulkan_|GLX_nvidia|nvidia-|amdvlk)[^/]*\.so[^/ ]*$/;

/**
 * The Vulkan drivers that this process has loaded, each by its file's name, size and date, sorted; so a driver that was
 * updated is another one. To be called after the adapter was opened. Elsewhere than on Linux, where drivers come with
 * the system, the system's release.
 */
export function driverFiles(): string[] {
  if (Deno.build.os !== "linux") return [`${Deno.build.os} ${Deno.osRelease()}`];
  const maps = Deno.readTextFileSync("/proc/self/maps").split("\n");
  const paths = new Set(maps.map((line) => line.slice(line.indexOf("/"))).filter((path) => DRIVER_FILE.test(path)));
  return [...paths].map(describe).sort();
}

function describe(path: string): string {
  const name = path.slice(path.lastIndexOf("/") + 1);
  try {
    const { size, mtime } = Deno.statSync(path);
    return `${name}, ${size} bytes${mtime ? ` of ${mtime.toISOString()}` : ""}`;
  } catch (error) {
    // The file was replaced while it was in use; its name may still tell a version.
    if (error instanceof Deno.errors.NotFound) return name;
    throw error;
  }
}
