import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { runCommand } from "./harness.ts";

const commands = [
  ["demo"],
  ["serve"],
  ["train"],
  ["watch"],
  ["runs", "list"],
  ["runs", "get"],
  ["runs", "cancel"],
  ["runs", "plot"],
  ["reproduce"],
  ["eval"],
  ["infer"],
  ["models", "list"],
  ["models", "describe"],
  ["recipes"],
  ["datasets", "list"],
  ["datasets", "describe"],
  ["datasets", "import"],
  ["doctor"],
  ["bench", "kernels"],
  ["bench", "train"],
  ["bench", "infer"],
  ["bench", "rpc"],
];

Deno.test("runCli() has help for every command, in each of the ways to ask", async () => {
  for (const command of commands) {
    const help = await runCommand([...command, "--help"]);
    assertEquals([help.code, help.stderr], [0, ""]);
    assertStringIncludes(help.stdout, `Usage: ./multistep ${command.join(" ")}`);
    assertMatch(help.stdout, /^ +--json +Print one JSON object/m);
    assertEquals(await runCommand([...command, "-h"]), help);
    assertEquals(await runCommand(["help", ...command]), help);
  }
});

Deno.test("runCli() refuses an option that no command has, in one line with exit code 2", async () => {
  for (const command of commands) {
    const outcome = await runCommand([...command, "--no-such-option"]);
    assertEquals([outcome.code, outcome.stdout], [2, ""]);
    const name = command.join(" ");
    assertEquals(
      outcome.stderr,
      `multistep: Unknown option --no-such-option; see "./multistep ${name} --help"\n`,
    );
  }
});

Deno.test("runCli() lists the commands: as an answer on stdout, as a reproach on stderr", async () => {
  const asked = await runCommand(["--help"]);
  const bare = await runCommand([]);
  assertEquals([asked.code, bare.code], [0, 2]);
  assertEquals([asked.stdout, asked.stderr], [bare.stderr, bare.stdout]);
  for (const [name] of commands) assertMatch(asked.stdout, new RegExp(`^  ${name} +[A-Z]`, "m"));
  assertEquals((await runCommand(["runs"])).code, 2);
  assertMatch((await runCommand(["runs", "--help"])).stdout, /^ {2}cancel +Ends a run/m);
  // Long choices stand on a line of their own, long explanations on several.
  const { stdout } = await runCommand(["train", "--help"]);
  assertMatch(stdout, /^ {2}--scheme forward-euler\|\S+\n {20,}How it steps/m);
  assertEquals(stdout.split("\n").filter((line) => line.length > 120 && !line.startsWith("  --scheme")), []);
});

Deno.test("runCli() names an unknown command and the one that was meant", async () => {
  const outcome = await runCommand(["trian", "--json"]);
  assertEquals(outcome, {
    code: 2,
    stdout: "",
    stderr: 'multistep: Unknown command "trian": did you mean train; see "./multistep --help"\n',
  });
  assertStringIncludes(
    (await runCommand(["models", "explode"])).stderr,
    'Unknown command "explode": the commands are list, schemes, describe, import, export, analyze; see "./multistep models --help"',
  );
  assertStringIncludes((await runCommand(["--verbose"])).stderr, 'Unknown option "--verbose"');
});

Deno.test("runCli() prints its version", async () => {
  assertEquals(await runCommand(["--version"]), { code: 0, stdout: "multistep 0.1.0\n", stderr: "" });
});
