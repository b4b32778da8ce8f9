/** TLS: the certificate files of a server. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import type { Http2SecureServer } from "node:http2";
import { ServerError } from "../errors.ts";
import type { Log } from "../log.ts";
import { readFile, Reloaded } from "./reloaded.ts";

/** Paths of PEM files. */
export interface TlsFiles {
  /** The server's certificate, and those between it and the root. */
  readonly cert: string;
  readonly key: string;
  /** Who signs the clients' certificates; given, a client without one gets no connection. */
  readonly clientCa?: string;
}

export interface TlsContents {
  readonly cert: string;
  readonly key: string;
  readonly ca?: string;
}

/** @throws {ServerError} a file cannot be read, is no PEM, or the key is another certificate's. */
export function readTlsFiles({ cert, key, clientCa }: TlsFiles): TlsContents {
  const contents = {
    cert: readFile(cert, "certificate"),
    key: readFile(key, "private key"),
    ca: clientCa === undefined ? undefined : readFile(clientCa, "certificate of the clients' authority"),
  };
  if (clientCa !== undefined) parseCertificate(contents.ca, clientCa);
  const certificate = parseCertificate(contents.cert, cert);
  if (!certificate.checkPrivateKey(parseKey(contents.key, key))) {
    throw new ServerError(`Cannot use the private key "${key}": it is not that of the certificate "${cert}"`);
  }
  return contents;
}

/**
 * What of the server's certificate makes clients refuse it, and will not stop a server: it may be renewed any moment.
 * @param now milliseconds since 1970
 */
export function validityProblem({ cert }: Pick<TlsContents, "cert">, now: number): string | undefined {
  const { validFrom, validTo } = new X509Certificate(cert);
  if (now > Date.parse(validTo)) return `The server's certificate has expired on ${validTo}`;
  if (now < Date.parse(validFrom)) return `The server's certificate is not valid before ${validFrom}`;
}

/**
 * Renewed certificates count for the connections that come after. Of one that is not valid the log is told.
 * @param contents of the files now
 */
export function renewCertificates(
  server: Http2SecureServer,
  { files, contents, log }: { readonly files: TlsFiles; readonly contents: TlsContents; readonly log: Log },
): Disposable {
  const warn = (used: TlsContents) => {
    const problem = validityProblem(used, Date.now());
    if (problem) log.warn(problem, { certificate: files.cert });
  };
  warn(contents);
  const { cert, key, clientCa } = files;
  return new Reloaded({
    paths: clientCa === undefined ? [cert, key] : [cert, key, clientCa],
    load: () => readTlsFiles(files),
    onChange: (renewed) => {
      server.setSecureContext(renewed);
      warn(renewed);
    },
    log,
  });
}

function parseCertificate(pem: string | undefined, path: string): X509Certificate {
  try {
    return new X509Certificate(pem ?? "");
  } catch (error) {
    throw new ServerError(`Cannot use "${path}": it is no certificate in PEM`, { cause: error });
  }
}

function parseKey(pem: string, path: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw new ServerError(`Cannot use "${path}": it is no private key in PEM without a password`, { cause: error });
  }
}
