/**
 * Bearer tokens: 256 random bits each. The server's file holds their SHA-256 alone, so that who reads it can use none;
 * no slower hash is needed for what nobody can guess.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { ServerError } from "../errors.ts";

/** `read` looks, infers and evaluates; `write` also starts, changes and deletes. */
export const scopes = ["read", "write"] as const;
export type Scope = typeof scopes[number];

export interface Token {
  /** What logs call it. */
  readonly name: string;
  readonly scope: Scope;
  /** SHA-256 of the token's text. */
  readonly digest: Uint8Array;
}

const namePattern = /^[\w.@-]{1,64}$/;

/**
 * @returns the token, which is shown once and kept nowhere, and its line for the server's file
 * @throws {ServerError} for a name that the file cannot hold.
 */
export function createToken(name: string, scope: Scope): { readonly token: string; readonly line: string } {
  if (!namePattern.test(name)) {
    throw new ServerError(`Cannot name a token "${name}": 1 to 64 letters, digits and . _ @ - are allowed`);
  }
  const random = crypto.getRandomValues(new Uint8Array(32));
  const token = `mst_${random.toBase64({ alphabet: "base64url", omitPadding: true })}`;
  return { token, line: `${name} ${scope} ${digestOf(token).toString("hex")}` };
}

/**
 * Lines of name, scope and the SHA-256 in hexadecimal; empty ones and those that begin with # mean nothing.
 * @param path for messages
 * @throws {ServerError} names the line.
 */
export function parseTokens(text: string, path: string): readonly Token[] {
  const tokens: Token[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const [name, word, hex, ...rest] = line.trim().split(/\s+/);
    const scope = scopes.find((candidate) => candidate === word);
    const isDigest = /^[0-9a-fA-F]{64}$/.test(hex ?? "");
    if (!namePattern.test(name) || !scope || !isDigest || rest.length > 0) {
      throw new ServerError(
        `Cannot read line ${index + 1} of the token file "${path}": it must be a name, ${scopes.join(" or ")}, ` +
          `and a SHA-256 in hexadecimal, as "multistep token create" prints it`,
      );
    }
    tokens.push({ name, scope, digest: Uint8Array.fromHex(hex) });
  }
  return tokens;
}

/** Looks at all of them, so that the time it takes tells nothing. */
export function findToken(tokens: readonly Token[], text: string): Token | undefined {
  const digest = digestOf(text);
  let found: Token | undefined;
  for (const token of tokens) if (timingSafeEqual(token.digest, digest)) found = token;
  return found;
}

function digestOf(token: string) {
  return createHash("sha256").update(token).digest();
}
