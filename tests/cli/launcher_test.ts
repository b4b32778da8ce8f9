/**
 * The launcher, run as a script. Each test has a machine of its own: a copy of
 * the script whose absolute folders lie below a temporary one, and a PATH that
 * holds the few tools the script may use and stubs in place of the others.
 */
import { dirname, join, resolve } from "node:path";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";

const launcher = resolve(import.meta.dirname!, "../../multistep");
const pinned = /^deno_version=(.*)$/m.exec(Deno.readTextFileSync(launcher))![1];

const tools = [
  "cat",
  "chmod",
  "dirname",
  "env",
  "find",
  "grep",
  "ls",
  "mkdir",
  "mktemp",
  "mv",
  "readlink",
  "rm",
  "sed",
  "tee",
  "tr",
];

const isLinux = Deno.build.os === "linux";

interface Machine {
  /** Stands for "/". */
  readonly root: string;
  /** Where the project is. */
  readonly project: string;
  readonly home: string;
  /** Puts a script on PATH. */
  stub(name: string, body: string): Promise<void>;
  /** Makes a file below the root, with its folders. */
  file(path: string, text?: string): Promise<string>;
  run(args: readonly string[], options?: RunOptions): Promise<Result>;
}

interface RunOptions {
  readonly script?: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly shell?: string;
}

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a stub of Deno does: tells its version, or the arguments and environment that it was run with. */
function denoStub(version: string): string {
  return `case $1 in
--version) echo "deno ${version} (stable, release, x86_64-unknown-linux-gnu)" ;;
test) printf '%b' "$TEST_OUTPUT"; exit "\${TEST_STATUS:-0}" ;;
*)
  echo "deno ${version} in $PWD"
  for argument; do echo "argument: $argument"; done
  for name in XDG_RUNTIME_DIR LP_NATIVE_VECTOR_WIDTH MESA_SHADER_CACHE_DIR VK_ADD_DRIVER_FILES DENO_NO_UPDATE_CHECK; do
    eval "echo \\"$name=\\\${$name-unset}\\""
  done
  ;;
esac`;
}

async function withMachine(test: (machine: Machine) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  const [bin, project, home] = [join(root, "bin"), join(root, "a project"), join(root, "home")];
  for (const folder of [bin, project, home, join(root, "proc"), join(root, "tmp")]) await Deno.mkdir(folder);
  const script = await Deno.readTextFile(launcher);
  // The paths of the system, not the first line's and the null device.
  const moved = script.replace(/(?<=[\s:'"=-])\/(?=(?:etc|usr|run|lib|lib64|proc|sbin|tmp)\b)/g, `${root}/`);
  await Deno.writeTextFile(join(project, "multistep"), moved, { mode: 0o755 });
  const machine: Machine = {
    root,
    project,
    home,
    async stub(name, body) {
      await Deno.writeTextFile(join(bin, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
    },
    async file(path, text = "") {
      const full = join(root, path);
      await Deno.mkdir(dirname(full), { recursive: true });
      await Deno.writeTextFile(full, text);
      return full;
    },
    async run(args, { script = join(project, "multistep"), cwd = home, env = {}, shell = "/bin/sh" } = {}) {
      const { code, stdout, stderr } = await new Deno.Command(shell, {
        args: [script, ...args],
        cwd,
        clearEnv: true,
        env: { PATH: bin, HOME: home, TMPDIR: join(root, "tmp"), ...env },
      }).output();
      const decoder = new TextDecoder();
      return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
    },
  };
  try {
    for (const tool of tools) await Deno.symlink(await which(tool), join(bin, tool));
    await machine.stub("uname", "case $1 in -s) echo Linux ;; -m) echo x86_64 ;; esac");
    await machine.stub("id", "echo 1000");
    await machine.stub("ldconfig", ":");
    await test(machine);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

async function which(tool: string): Promise<string> {
  const { stdout } = await new Deno.Command("/bin/sh", { args: ["-c", `command -v ${tool}`] }).output();
  return new TextDecoder().decode(stdout).trim();
}

/** A machine with the pinned Deno and a driver, as most tests want it. */
function withReadyMachine(test: (machine: Machine) => Promise<void>): Promise<void> {
  return withMachine(async (machine) => {
    await machine.stub("deno", denoStub(pinned));
    await installDriver(machine);
    await test(machine);
  });
}

async function installDriver({ file }: Machine): Promise<void> {
  await file("usr/lib/libvulkan.so.1");
  await file("usr/lib/libvulkan_lvp.so");
  await file("usr/share/vulkan/icd.d/lvp.json", '{"ICD": {"library_path": "libvulkan_lvp.so"}}');
}

function launcherTest(name: string, test: () => Promise<void>): void {
  Deno.test({ name: `launcher ${name}`, ignore: !isLinux, fn: test });
}

launcherTest("is a POSIX shell script", async () => {
  for (const shell of ["sh", "dash", "bash"]) {
    const path = await which(shell);
    if (path === "") continue;
    const args = shell === "bash" ? ["--posix", "-n", launcher] : ["-n", launcher];
    const { code, stderr } = await new Deno.Command(path, { args }).output();
    assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
  }
  const script = await Deno.readTextFile(launcher);
  for (const bashism of [/(^|\s)\[\[\s/m, /^\s*(function|local|source|declare) /m, /<<</, /\$'/, /&>/, /\[ [^\]]*==/]) {
    assert(!bashism.test(script), String(bashism));
  }
  const { mode } = await Deno.stat(launcher);
  assertEquals((mode ?? 0) & 0o111, 0o111);
});

launcherTest("runs main.ts with the Deno on PATH where it is exactly the pinned one", async () => {
  await withReadyMachine(async ({ run, project, home }) => {
    const { code, stdout, stderr } = await run(["runs", "list", "two words"]);
    assertEquals([code, stderr], [0, ""]);
    const lines = stdout.split("\n");
    assertEquals(lines[0], `deno ${pinned} in ${home}`);
    assertEquals(lines.filter((line) => line.startsWith("argument: ")).map((line) => line.slice(10)), [
      "run",
      "--allow-all",
      "--config",
      join(project, "deno.json"),
      join(project, "src/main.ts"),
      "runs",
      "list",
      "two words",
    ]);
    assert(lines.includes("DENO_NO_UPDATE_CHECK=1"));
  });
});

launcherTest("has a server collect its garbage early, and no other command", async () => {
  await withReadyMachine(async ({ run }) => {
    const flag = "argument: --v8-flags=--initial-old-space-size=32,--heap-growing-percent=30\n";
    assertStringIncludes((await run(["serve"])).stdout, `argument: run\n${flag}`);
    assert(!(await run(["runs", "list"])).stdout.includes("--v8-flags"));
  });
});

launcherTest("runs through symbolic links, relative and absolute, from any folder", async () => {
  await withReadyMachine(async ({ run, project, home, root }) => {
    await Deno.symlink(join(project, "multistep"), join(root, "first link"));
    await Deno.symlink("../first link", join(home, "second"));
    const { stdout } = await run(["runs"], { script: "second" });
    assertStringIncludes(stdout, `argument: ${project}/src/main.ts\n`);
  });
});

/** An npm that "installs" a Deno of some version, and notes how it was called. */
function npmStub(root: string, version: string): string {
  return `echo "$@" >>"${root}/npm.log"
while [ "$1" != --prefix ]; do shift; done
prefix=$2
for package; do :; done
folder=$prefix/node_modules/\${package%@*}
mkdir -p "$folder"
cat >"$folder/deno" <<'END'
#!/bin/sh
${denoStub(version)}
END`;
}

launcherTest("installs the pinned Deno from npm where PATH has another version, once", async () => {
  await withMachine(async ({ run, stub, root, project }) => {
    await stub("deno", denoStub("2.9.6"));
    await stub("npm", npmStub(root, pinned));
    const first = await run(["runs"]);
    assertEquals(first.code, 0);
    assertStringIncludes(first.stdout, `deno ${pinned} in `);
    assertEquals(first.stderr, `multistep: Installing Deno ${pinned} into ${project}/.deno (some 40 MB, once)\n`);
    const second = await run(["runs"]);
    assertEquals([second.stdout, second.stderr], [first.stdout, ""]);
    const log = (await Deno.readTextFile(join(root, "npm.log"))).trim().split("\n");
    assertEquals(log.length, 1);
    assertMatch(log[0], /--ignore-scripts/);
    assert(log[0].endsWith(`@deno/linux-x64-glibc@${pinned}`));
    assertEquals(await names(join(project, ".deno")), [pinned]);
  });
});

async function names(folder: string): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir(folder));
  return entries.map((entry) => entry.name).sort();
}

launcherTest("takes the package of the machine", async () => {
  for (
    const [system, machine, expected] of [
      ["Linux", "aarch64", "@deno/linux-arm64-glibc"],
      ["Darwin", "arm64", "@deno/darwin-arm64"],
      ["Darwin", "x86_64", "@deno/darwin-x64"],
    ]
  ) {
    await withMachine(async ({ run, stub, root }) => {
      await stub("uname", `case $1 in -s) echo ${system} ;; -m) echo ${machine} ;; esac`);
      await stub("npm", npmStub(root, pinned));
      assertEquals((await run(["runs"])).code, 0);
      assertStringIncludes(await Deno.readTextFile(join(root, "npm.log")), `${expected}@${pinned}`);
    });
  }
});

launcherTest("installs for two launchers that start at the same time", async () => {
  await withMachine(async ({ run, stub, root, project }) => {
    await stub("npm", npmStub(root, pinned));
    const results = await Promise.all(Array.from({ length: 4 }, () => run(["runs"])));
    assertEquals(results.map((result) => result.code), [0, 0, 0, 0]);
    assertEquals(await names(join(project, ".deno")), [pinned]);
  });
});

launcherTest("refuses a downloaded Deno of another version", async () => {
  await withMachine(async ({ run, stub, root, project }) => {
    await stub("npm", npmStub(root, "2.9.4"));
    const { code, stderr } = await run(["runs"]);
    assertEquals(code, 1);
    assertStringIncludes(stderr, `does not run here or is not ${pinned}: put Deno ${pinned} on PATH yourself\n`);
    assertEquals(await names(join(project, ".deno", pinned)), []);
    assertEquals(await names(join(project, ".deno")), [pinned]);
  });
});

launcherTest("takes the official release where npm is missing", async () => {
  for (const tool of ["curl", "wget"]) {
    await withMachine(async ({ run, stub, root }) => {
      await stub(tool, `echo "$@" >"${root}/download.log"`);
      await stub(
        "unzip",
        `while [ "$1" != -d ]; do shift; done\ncat >"$2/deno" <<'END'\n#!/bin/sh\n${denoStub(pinned)}\nEND`,
      );
      const { code, stdout } = await run(["runs"]);
      assertEquals(code, 0);
      assertStringIncludes(stdout, `deno ${pinned} in `);
      assertMatch(
        await Deno.readTextFile(join(root, "download.log")),
        new RegExp(`https://\\S+/v${pinned.replaceAll(".", "\\.")}/deno-x86_64-unknown-linux-gnu\\.zip`),
      );
    });
  }
});

launcherTest("says in one line why Deno cannot be had", async () => {
  await withMachine(async ({ run, stub }) => {
    const nothing = await run(["runs"]);
    assertEquals(nothing.code, 1);
    assertStringIncludes(nothing.stderr, `Cannot download Deno ${pinned}: npm is needed, or curl or wget with unzip\n`);
    await stub("npm", "echo 'npm error network is unreachable' >&2; exit 1");
    assertMatch((await run(["runs"])).stderr, /Cannot download Deno .*: npm error network is unreachable\n$/);
    await stub("uname", "case $1 in -s) echo FreeBSD ;; -m) echo riscv64 ;; esac");
    assertEquals(
      (await run(["runs"])).stderr,
      `multistep: Cannot install Deno on FreeBSD riscv64: put Deno ${pinned} on PATH yourself\n`,
    );
  });
});

const gpuCommands = [["serve"], ["demo"], ["bench", "train"], ["test"]];

launcherTest("needs no driver for commands that use no GPU, nor for help", async () => {
  await withMachine(async ({ run, stub, home }) => {
    await stub("deno", denoStub(pinned));
    for (
      const args of [[], ["train"], ["watch", "a"], ["runs", "list"], ["help"], ["serve", "--help"], ["demo", "-h"]]
    ) {
      const { code, stderr, stdout } = await run(args);
      assertEquals([code, stderr], [0, ""]);
      assertStringIncludes(stdout, `deno ${pinned} in ${home}\n`);
    }
  });
});

launcherTest("says the one command to type where there is no driver and no right to install one", async () => {
  await withMachine(async ({ run, stub, root }) => {
    await stub("deno", denoStub(pinned));
    await stub("apt-get", `echo called >>"${root}/apt.log"`);
    await stub("sudo", "exit 1");
    for (const args of gpuCommands) {
      const { code, stdout, stderr } = await run(args);
      assertEquals([code, stdout], [1, ""]);
      assertEquals(
        stderr,
        "multistep: No Vulkan driver can be loaded: the Vulkan loader, libvulkan.so.1, is not installed. " +
          "Install one with: sudo apt-get install -y mesa-vulkan-drivers libvulkan1\n",
      );
    }
    assertEquals((await names(root)).includes("apt.log"), false);
  });
});

launcherTest("names the package manager's command where there is no apt-get", async () => {
  await withMachine(async ({ run, stub }) => {
    await stub("deno", denoStub(pinned));
    await stub("dnf", "exit 1");
    assertStringIncludes((await run(["serve"])).stderr, "sudo dnf install -y mesa-vulkan-drivers vulkan-loader\n");
  });
});

/** An apt-get that notes its calls and installs a driver. */
function aptStub(root: string): string {
  return `echo "$@" >>"${root}/apt.log"
case "$*" in *' install '*)
  mkdir -p "${root}/usr/lib" "${root}/usr/share/vulkan/icd.d"
  : >"${root}/usr/lib/libvulkan.so.1"
  : >"${root}/usr/lib/libvulkan_lvp.so"
  echo '{"ICD": {"library_path": "libvulkan_lvp.so"}}' >"${root}/usr/share/vulkan/icd.d/lvp.json" ;;
esac`;
}

launcherTest("installs a driver as root, once, and tells so on stderr", async () => {
  await withMachine(async ({ run, stub, root }) => {
    await stub("deno", denoStub(pinned));
    await stub("id", "echo 0");
    await stub("apt-get", aptStub(root));
    const first = await run(["serve"]);
    assertEquals(first.code, 0);
    assertEquals(
      first.stderr,
      "multistep: Installing a software Vulkan driver with apt-get (mesa-vulkan-drivers libvulkan1)\n",
    );
    assertEquals((await run(["serve"])).stderr, "");
    const log = (await Deno.readTextFile(join(root, "apt.log"))).trim().split("\n");
    assertEquals(log.length, 2);
    assertMatch(log[0], /update$/);
    assertMatch(log[1], /install mesa-vulkan-drivers libvulkan1$/);
  });
});

launcherTest("installs a driver with a sudo that asks for no password", async () => {
  await withMachine(async ({ run, stub, root }) => {
    await stub("deno", denoStub(pinned));
    await stub("true", ":");
    await stub("sudo", `shift; echo "$1" >>"${root}/sudo.log"; exec "$@"`);
    await stub("apt-get", aptStub(root));
    assertEquals((await run(["serve"])).code, 0);
    assertEquals((await Deno.readTextFile(join(root, "sudo.log"))).trim().split("\n"), ["true", "env", "env"]);
  });
});

launcherTest("tells what apt-get said when it fails", async () => {
  await withMachine(async ({ run, stub }) => {
    await stub("deno", denoStub(pinned));
    await stub("id", "echo 0");
    await stub("apt-get", "echo 'E: Unable to locate package' >&2; exit 100");
    const { code, stderr } = await run(["serve"]);
    assertEquals(code, 1);
    assertStringIncludes(stderr, "multistep: apt-get failed: E: Unable to locate package\n");
    assertStringIncludes(stderr, "Install one with: sudo apt-get install -y mesa-vulkan-drivers libvulkan1\n");
  });
});

launcherTest("lets doctor report a missing driver rather than install one", async () => {
  await withMachine(async ({ run, stub, root }) => {
    await stub("deno", denoStub(pinned));
    await stub("id", "echo 0");
    await stub("apt-get", aptStub(root));
    const { code, stdout, stderr } = await run(["doctor"]);
    assertEquals(code, 0);
    assertStringIncludes(stdout, "argument: doctor\n");
    assertMatch(stderr, /^multistep: No Vulkan driver can be loaded: .* Install one with: sudo apt-get install .*\n$/);
  });
});

launcherTest("wants the driver's library, not only its manifest", async () => {
  await withReadyMachine(async ({ run, root }) => {
    assertEquals((await run(["serve"])).code, 0);
    await Deno.remove(join(root, "usr/lib/libvulkan_lvp.so"));
    assertStringIncludes((await run(["serve"])).stderr, "no driver is installed");
  });
});

launcherTest("finds manifests and libraries in each of the places where they may be", async () => {
  const bare = (library: string) => `{"file_format_version": "1.0.0",\n "ICD": {"library_path" : "${library}"}}`;
  const places: { manifest: string; library: string; path?: string; env?: Record<string, string> }[] = [
    { manifest: "etc/vulkan/icd.d/nvidia_icd.json", library: "usr/lib/x86_64-linux-gnu/libGLX_nvidia.so.0" },
    { manifest: "usr/local/share/vulkan/icd.d/a.json", library: "usr/lib64/liba.so" },
    { manifest: "home/.local/share/vulkan/icd.d/a.json", library: "home/lib/liba.so", path: "../../../../lib/liba.so" },
    { manifest: "home/.config/vulkan/icd.d/a.json", library: "lib/liba.so" },
    { manifest: "usr/share/vulkan/icd.d/a.json", library: "opt/liba.so", path: "ROOT/opt/liba.so" },
    {
      manifest: "opt/x/vulkan/icd.d/a.json",
      library: "usr/lib/liba.so",
      env: { XDG_DATA_DIRS: "ROOT/none:ROOT/opt/x" },
    },
    {
      manifest: "opt/a b.json",
      library: "usr/lib/liba.so",
      env: { VK_DRIVER_FILES: "ROOT/none.json:ROOT/opt/a b.json" },
    },
    {
      manifest: "opt/icd/a.json",
      library: "opt/lib/liba.so",
      env: { VK_ICD_FILENAMES: "ROOT/opt/icd/a.json", LD_LIBRARY_PATH: "/none:ROOT/opt/lib" },
    },
  ];
  for (const { manifest, library, path, env = {} } of places) {
    await withMachine(async ({ run, stub, file, root }) => {
      await stub("deno", denoStub(pinned));
      await file("usr/lib/libvulkan.so.1");
      await file(library);
      await file(manifest, bare(path?.replace("ROOT", root) ?? library.split("/").at(-1)!));
      const rooted = Object.fromEntries(
        Object.entries(env).map(([name, value]) => [name, value.replaceAll("ROOT", root)]),
      );
      assertEquals(await run(["serve"], { env: rooted }).then(({ code, stderr }) => [code, stderr]), [0, ""], manifest);
    });
  }
});

launcherTest("asks ldconfig for libraries in other folders", async () => {
  await withMachine(async ({ run, stub, file }) => {
    await stub("deno", denoStub(pinned));
    await file("usr/share/vulkan/icd.d/a.json", '{"ICD": {"library_path": "liba.so"}}');
    await stub("ldconfig", "printf '\\t%s (libc6,x86-64) => /opt/%s\\n' libvulkan.so.1 libvulkan.so.1 liba.so liba.so");
    assertEquals((await run(["serve"])).code, 0);
  });
});

launcherTest("points the loader at a vendor's driver outside its folders", async () => {
  await withReadyMachine(async ({ run, file, root }) => {
    assertStringIncludes((await run(["serve"])).stdout, "VK_ADD_DRIVER_FILES=unset\n");
    await file("usr/local/nvidia/lib64/libGLX_nvidia.so.0");
    const manifest = await file(
      "usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json",
      '{"ICD": {"library_path": "libGLX_nvidia.so.0"}}',
    );
    assertStringIncludes((await run(["serve"])).stdout, `VK_ADD_DRIVER_FILES=${manifest}\n`);
    const chosen = { VK_DRIVER_FILES: join(root, "usr/share/vulkan/icd.d/lvp.json") };
    assertStringIncludes((await run(["serve"], { env: chosen })).stdout, "VK_ADD_DRIVER_FILES=unset\n");
  });
});

launcherTest("does not install over a driver that the user has chosen", async () => {
  await withReadyMachine(async ({ run, stub, root }) => {
    await stub("id", "echo 0");
    await stub("apt-get", aptStub(root));
    const { code, stderr } = await run(["serve"], { env: { VK_DRIVER_FILES: "/no/such.json" } });
    assertEquals(code, 1);
    assertStringIncludes(stderr, 'is set to "/no/such.json", which names no driver that is there; unset it');
    assertEquals((await names(root)).includes("apt.log"), false);
  });
});

launcherTest("leaves drivers to macOS", async () => {
  await withMachine(async ({ run, stub }) => {
    await stub("deno", denoStub(pinned));
    await stub("uname", "case $1 in -s) echo Darwin ;; -m) echo arm64 ;; esac");
    assertEquals((await run(["serve"])).stderr, "");
  });
});

function variable({ stdout }: Result, name: string): string {
  return new RegExp(`^${name}=(.*)$`, "m").exec(stdout)?.[1] ?? "";
}

launcherTest("makes a private XDG_RUNTIME_DIR where it is missing", async () => {
  await withReadyMachine(async ({ run, root, home }) => {
    const made = variable(await run(["serve"]), "XDG_RUNTIME_DIR");
    assert(made.startsWith(join(root, "tmp")));
    assertEquals((await Deno.stat(made)).mode! & 0o777, 0o700);
    const missing = await run(["serve"], { env: { XDG_RUNTIME_DIR: "/no/such/folder" } });
    assert(variable(missing, "XDG_RUNTIME_DIR").startsWith(join(root, "tmp")));
    assertEquals(variable(await run(["serve"], { env: { XDG_RUNTIME_DIR: home } }), "XDG_RUNTIME_DIR"), home);
  });
});

launcherTest("reuses its XDG_RUNTIME_DIR, but not one that others can write to", async () => {
  await withReadyMachine(async ({ run, stub, root }) => {
    await stub("id", `echo ${Deno.uid()}`);
    await installDriverRights(stub);
    const first = variable(await run(["serve"]), "XDG_RUNTIME_DIR");
    assertEquals(first, join(root, `tmp/multistep-${Deno.uid()}`));
    assertEquals(variable(await run(["serve"]), "XDG_RUNTIME_DIR"), first);
    await Deno.chmod(first, 0o777);
    assert(variable(await run(["serve"]), "XDG_RUNTIME_DIR") !== first);
  });
});

/** As root, the launcher may install; there is nothing to install here. */
async function installDriverRights(stub: Machine["stub"]): Promise<void> {
  await stub("apt-get", "exit 1");
}

launcherTest("widens software Vulkan's vectors where the CPU can, with a shader cache a width", async () => {
  await withReadyMachine(async ({ run, file, home }) => {
    const narrow = await run(["serve"]);
    assertEquals(variable(narrow, "LP_NATIVE_VECTOR_WIDTH"), "unset");
    assertEquals(variable(narrow, "MESA_SHADER_CACHE_DIR"), join(home, ".cache/multistep/mesa-native"));
    await file("proc/cpuinfo", "flags\t\t: fpu avx2 avx512f avx512dq\n");
    const wide = await run(["serve"]);
    assertEquals(variable(wide, "LP_NATIVE_VECTOR_WIDTH"), "512");
    assertEquals(variable(wide, "MESA_SHADER_CACHE_DIR"), join(home, ".cache/multistep/mesa-512"));
    assert((await Deno.stat(join(home, ".cache/multistep/mesa-512"))).isDirectory);
    const cache = join(home, "my cache");
    const chosen = await run(["serve"], { env: { LP_NATIVE_VECTOR_WIDTH: "256", XDG_CACHE_HOME: cache } });
    assertEquals(variable(chosen, "LP_NATIVE_VECTOR_WIDTH"), "256");
    assertEquals(variable(chosen, "MESA_SHADER_CACHE_DIR"), join(cache, "multistep/mesa-256"));
    const own = await run(["serve"], { env: { MESA_SHADER_CACHE_DIR: "/mine" } });
    assertEquals(variable(own, "MESA_SHADER_CACHE_DIR"), "/mine");
  });
});

launcherTest("does without a shader cache of its own where the home folder is read-only", async () => {
  await withReadyMachine(async ({ run, file }) => {
    const occupied = await file("occupied");
    const { code, stdout } = await run(["serve"], { env: { XDG_CACHE_HOME: occupied } });
    assertEquals(code, 0);
    assertStringIncludes(stdout, "MESA_SHADER_CACHE_DIR=unset\n");
  });
});

launcherTest("ends test with the counts alone on the last line, and deno test's exit code", async () => {
  await withReadyMachine(async ({ run }) => {
    const cases: [string, string, string, number][] = [
      ["ok | 12 passed (3 steps) | 0 failed | 2 ignored (4s)", "0", "12 passed, 0 failed, 2 skipped", 0],
      ["ok | 5 passed | 0 failed | 1 filtered out (9ms)", "0", "5 passed, 0 failed, 0 skipped", 0],
      ["FAILED | 11 passed | 1 failed (2 steps) (1m2s)", "1", "11 passed, 1 failed, 0 skipped", 1],
      [
        "\\033[0m\\033[32mok\\033[0m | 3 passed | 0 failed \\033[38;5;245m(1ms)\\033[0m",
        "0",
        "3 passed, 0 failed, 0 skipped",
        0,
      ],
      [
        "ok | 1 passed | 0 failed (1ms)\\nFAILED | 7 passed | 2 failed (2ms)\\n\\nerror: Test failed",
        "1",
        "7 passed, 2 failed, 0 skipped",
        1,
      ],
    ];
    for (const [output, status, summary, code] of cases) {
      const result = await run(["test"], { env: { TEST_OUTPUT: `${output}\\n`, TEST_STATUS: status } });
      assertEquals([result.stdout.split("\n").at(-2), result.code], [summary, code]);
      assertEquals(result.stdout.split("\n").length > 2, true);
    }
    const crashed = await run(["test"], { env: { TEST_OUTPUT: "running 3 tests\\n", TEST_STATUS: "134" } });
    assertEquals([crashed.code, crashed.stdout], [134, "running 3 tests\n"]);
    assertStringIncludes(crashed.stderr, "The tests ended without a summary (deno test exited with 134)");
  });
});

launcherTest("passes test's arguments on, from the project's folder", async () => {
  await withReadyMachine(async ({ run, stub, project }) => {
    await stub(
      "deno",
      `case $1 in --version) echo "deno ${pinned}" ;; *) echo "$PWD"; printf '<%s>' "$@"; echo ;; esac`,
    );
    const { stdout } = await run(["test", "tests/a b_test.ts", "--filter", "x y"]);
    assertEquals(stdout, `${project}\n<test><--allow-all><--no-check><tests/a b_test.ts><--filter><x y>\n`);
  });
});

launcherTest("runs the pinned Deno, and the gate, for those who work on it", async () => {
  await withReadyMachine(async ({ run, home, project }) => {
    const deno = await run(["deno", "check", "x.ts"]);
    assertStringIncludes(deno.stdout, `deno ${pinned} in ${home}\nargument: check\nargument: x.ts\n`);
    assertStringIncludes((await run(["ok"])).stdout, `deno ${pinned} in ${project}\nargument: task\nargument: ok\n`);
  });
});

launcherTest("runs in dash and in bash alike", async () => {
  await withReadyMachine(async ({ run }) => {
    for (const name of ["dash", "bash"]) {
      const shell = await which(name);
      if (shell !== "") assertEquals((await run(["serve"], { shell })).code, 0);
    }
  });
});
