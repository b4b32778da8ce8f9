import { assertEquals } from "@std/assert";
import { DatasetError } from "../../src/data/mod.ts";
import { toEngineError } from "../../src/engine/errors.ts";

Deno.test("toEngineError() takes the paths of this machine out of errors that nobody made on purpose", () => {
  const cases = [
    ["No such file or directory (os error 2): open '/var/lib/multistep/runs/a/checkpoints/b c.partial'", "open a file"],
    ['Cannot load module "file:///opt/multistep/src/engine/worker.ts"', "module a file"],
    ["ENOSPC: no space left on device, write /data/multistep/runs/a", "write a file"],
    ["Unexpected end at /data/multistep.sqlite:12", "at a file"],
  ];
  for (const [message, rest] of cases) {
    const { kind, message: told } = toEngineError(new Error(message));
    assertEquals(
      [kind, told.includes(`${rest} of the server`), /multistep/.test(told)],
      ["internal", true, false],
      told,
    );
  }
  const harmless = "Cannot read properties of undefined (reading 'loss'): 3/4 done, 160 images/s";
  assertEquals(toEngineError(new TypeError(harmless)).message, harmless);
});

Deno.test("toEngineError() keeps the text of errors made on purpose", () => {
  const { kind, message } = toEngineError(new DatasetError("invalid", 'Cannot read "/mine/cats": it is empty'));
  assertEquals([kind, message], ["invalid", 'Cannot read "/mine/cats": it is empty']);
});
