/** `token create` makes a bearer token. */
import { existsSync, readFileSync } from "node:fs";
import { defineCommand, defineGroup } from "../command.ts";
import { cannotWrite } from "../errors.ts";
import { tokenScopes } from "../local.ts";
import { defaulting, optional } from "../options.ts";
import { choice, text } from "../values.ts";

const createCommand = defineCommand({
  name: "create",
  summary: "Makes a token for a client; the server's file keeps its hash alone, so it is shown this once",
  options: {
    scope: defaulting(
      choice(tokenScopes),
      "read",
      "What it allows: read looks and infers; write also starts and changes",
    ),
    "token-file": optional(text("FILE"), "The server's token file, which gets the line; default: the line is printed"),
  },
  positionals: { placeholder: "NAME", minimum: 1, maximum: 1 },
  async run({ values, positionals: [name] }, { context, output }) {
    const { token, line } = await context.local.createToken(name, values.scope);
    const file = values["token-file"];
    if (file !== undefined) append(file, line);
    output.object({ name, scope: values.scope, token, ...file === undefined ? { line } : { token_file: file } });
    output.lines(token);
    output.progress.note(
      file === undefined
        ? `Add this line to the server's token file: ${line}`
        : `${file} has its hash; give the token to the client, as MULTISTEP_TOKEN or in a file for --token-file`,
    );
    return 0;
  },
});

export const tokenCommand = defineGroup("token", "Makes tokens for clients", [createCommand]);

/** Adds a line, also to a file whose last one was not ended. @throws {CommandError} */
function append(path: string, line: string): void {
  try {
    const before = existsSync(path) ? readFileSync(path, "utf8") : "";
    const lineBreak = before === "" || before.endsWith("\n") ? "" : "\n";
    Deno.writeTextFileSync(path, `${lineBreak}${line}\n`, { append: true, mode: 0o600 });
  } catch (error) {
    throw cannotWrite(path, error);
  }
}
