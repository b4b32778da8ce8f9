/** GET requests of a server on a client's behalf: to where they may go, through every redirect. */
import { lookup } from "node:dns/promises";
import http, { type IncomingMessage } from "node:http";
import https from "node:https";
import { isIP, type LookupFunction } from "node:net";
import { DatasetError } from "../errors.ts";
import { isPublicAddress } from "./public_address.ts";

export interface HttpRules {
  /** Whether addresses of this machine and of private networks may be asked. */
  readonly allowPrivate: boolean;
  /** Whether plain http will do, which anyone on the way can change: the content has a checksum. */
  readonly allowPlain: boolean;
}

export interface GetOptions extends HttpRules {
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

const MAX_REDIRECTS = 5;
/** Milliseconds without a byte. */
const SILENCE = 60_000;

/**
 * An answer that is no redirect; its body is to be read or destroyed.
 *
 * @throws {DatasetError} `invalid`: the address, or one that it redirects to, may not be asked; `unavailable`: there is
 * no answer
 */
export async function httpGet(url: URL, options: GetOptions): Promise<IncomingMessage> {
  let at = url;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const response = await ask(at, options);
    const { statusCode = 0, headers: { location } } = response;
    if (statusCode < 300 || statusCode >= 400 || statusCode === 304 || location === undefined) return response;
    response.destroy();
    if (!URL.canParse(location, at)) throw refused(at, "it redirects to what is no address");
    at = new URL(location, at);
  }
  throw refused(url, `it redirects more than ${MAX_REDIRECTS} times`);
}

async function ask(url: URL, { headers, signal, ...rules }: GetOptions): Promise<IncomingMessage> {
  checkScheme(url, rules);
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const family = url.protocol === "https:" ? https : http;
  const host = url.hostname.replace(/^\[|\]$/g, "");
  // A literal address is never looked up.
  if (isIP(host) !== 0) checkAddress(url, host, rules);
  const request = family.get(url, {
    agent: false,
    lookup: checkedLookup(url, rules),
    signal,
    timeout: SILENCE,
    headers: { ...headers, "accept-encoding": "identity", "user-agent": "multistep" },
  }, resolve);
  request.on("timeout", () => request.destroy(new Error("nothing came for a minute")));
  request.on("error", (error) => reject(signal.aborted ? signal.reason : unavailable(url, error)));
  return await promise;
}

function checkScheme(url: URL, { allowPlain }: HttpRules): void {
  if (url.protocol === "https:" || (url.protocol === "http:" && allowPlain)) return;
  throw refused(url, url.protocol === "http:" ? "plain http needs a SHA-256" : "must be an https address");
}

function checkAddress(url: URL, address: string, { allowPrivate }: HttpRules): void {
  if (!allowPrivate && !isPublicAddress(address)) throw refused(url, "it leads to an address that is not public");
}

/** The connection goes to the very addresses that were checked: what a name says may change in between. */
function checkedLookup(url: URL, rules: HttpRules): LookupFunction {
  return (host, options, callback) => {
    lookup(host, { all: true, family: 0 }).then((found) => {
      for (const { address } of found) checkAddress(url, address, rules);
      if (options.all) callback(null, found);
      else callback(null, found[0].address, found[0].family);
    }).catch((error) => callback(error, ""));
  };
}

function refused(url: URL, problem: string): DatasetError {
  return new DatasetError("invalid", `Cannot fetch ${shown(url)}: ${problem}`);
}

/** What the way to an address, or the server there, is at fault for. */
export function unavailable(url: URL, error: Error): DatasetError {
  if (error instanceof DatasetError) return error;
  const problem = "code" in error && error.code === "ENOTFOUND" ? "its host cannot be found" : error.message;
  return new DatasetError("unavailable", `Cannot fetch ${shown(url)}: ${problem}`, { cause: error });
}

/** Without what may be a secret. */
export function shown({ protocol, host, pathname }: URL): string {
  return `${protocol}//${host}${pathname}`.slice(0, 200);
}
