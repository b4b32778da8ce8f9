import { join } from "node:path";
import { assertEquals, assertRejects } from "@std/assert";
import { resolveImport, resolveInside } from "../../src/server/allowed_paths.ts";
import { RequestError } from "../../src/server/errors.ts";

interface Folders {
  /** Holds runs/a/weights and links that lead out. */
  readonly data: string;
  readonly outside: string;
}

function withFolders(test: (folders: Folders) => Promise<void>): () => Promise<void> {
  return async () => {
    const root = Deno.realPathSync(Deno.makeTempDirSync());
    const [data, outside] = [join(root, "data"), join(root, "data-outside")];
    try {
      Deno.mkdirSync(join(data, "runs", "a"), { recursive: true });
      Deno.mkdirSync(outside);
      Deno.writeTextFileSync(join(data, "runs", "a", "weights"), "");
      Deno.writeTextFileSync(join(outside, "secret"), "");
      Deno.symlinkSync(join(outside, "secret"), join(data, "link"));
      Deno.symlinkSync(outside, join(data, "folder"));
      Deno.symlinkSync(join(data, "runs", "a", "weights"), join(data, "inner"));
      await test({ data, outside });
    } finally {
      Deno.removeSync(root, { recursive: true });
    }
  };
}

async function kindOf(run: () => Promise<unknown>, text: string): Promise<string> {
  return (await assertRejects(run, RequestError, text)).kind;
}

Deno.test(
  "resolveInside() gives the path inside the folder, links resolved",
  withFolders(async ({ data }) => {
    assertEquals(await resolveInside(data, "f", "runs/a/weights"), "runs/a/weights");
    assertEquals(await resolveInside(data, "f", "runs/../runs/./a//weights"), "runs/a/weights");
    assertEquals(await resolveInside(data, "f", "inner"), "runs/a/weights");
  }),
);

Deno.test(
  "resolveInside() refuses what leads out of the folder",
  withFolders(async ({ data, outside }) => {
    const paths = [
      "../data-outside/secret",
      "runs/../../data-outside/secret",
      "link",
      "folder/secret",
      "..",
      "/etc/passwd",
    ];
    for (const path of [...paths, join(data, "runs/a/weights"), join(outside, "secret"), "../nothing"]) {
      assertEquals(
        await kindOf(() => resolveInside(data, "f", path), 'Field "f" must be a relative path'),
        "invalid-argument",
      );
    }
  }),
);

Deno.test(
  "resolveInside() names a file that does not exist by the path it was given",
  withFolders(async ({ data }) => {
    const error = await assertRejects(() => resolveInside(data, "f", "runs/b"), RequestError, '"runs/b"');
    assertEquals([error.kind, error.message.includes(data)], ["not-found", false]);
  }),
);

Deno.test(
  "resolveImport() allows the data folder, relative paths in it, and the other folders",
  withFolders(async ({ data, outside }) => {
    assertEquals(await resolveImport("runs/a", [data]), join(data, "runs/a"));
    assertEquals(await resolveImport(join(data, "runs/a"), [data]), join(data, "runs/a"));
    assertEquals(await resolveImport(join(outside, "secret"), [data, outside]), join(outside, "secret"));
    assertEquals(await resolveImport("link", [data, outside]), join(outside, "secret"));
  }),
);

Deno.test(
  "resolveImport() denies the rest alike, whether it exists or not, and names no folder",
  withFolders(async ({ data, outside }) => {
    for (
      const path of ["link", "folder/secret", "../data-outside/secret", join(outside, "secret"), "/nothing/here", ".."]
    ) {
      assertEquals(await kindOf(() => resolveImport(path, [data]), "the server's data folder"), "permission-denied");
    }
    const error = await assertRejects(
      () => resolveImport("/etc/passwd", [data, outside]),
      RequestError,
      "--import-folders",
    );
    assertEquals([error.kind, error.message.includes(data)], ["permission-denied", false]);
    assertEquals(await kindOf(() => resolveImport("nothing", [data]), '"nothing"'), "not-found");
  }),
);
