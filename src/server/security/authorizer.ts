/** Who may call what, by the token of the call. */
import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  CatalogService,
  health,
  InferenceService,
  reflectionV1,
  reflectionV1Alpha,
  TrainingService,
} from "../../gen/mod.ts";
import type { Log } from "../log.ts";
import { readFile, Reloaded } from "./reloaded.ts";
import { findToken, parseTokens, type Token } from "./tokens.ts";

/** Probes have no tokens, and learn no more than whether the server is well. */
const openServices: ReadonlySet<string> = new Set([health.Health.typeName]);

/** These change nothing. A method that is not among them needs the scope `write`. */
const readingMethods: ReadonlySet<DescMethod> = new Set<DescMethod>([
  TrainingService.method.getRun,
  TrainingService.method.listRuns,
  TrainingService.method.watchRun,
  TrainingService.method.listRunEvents,
  TrainingService.method.exportModel,
  InferenceService.method.infer,
  InferenceService.method.streamInfer,
  InferenceService.method.evaluate,
  InferenceService.method.analyzeModel,
  CatalogService.method.listModels,
  CatalogService.method.describeModel,
  CatalogService.method.listSchemes,
  CatalogService.method.listRecipes,
  CatalogService.method.listDatasets,
  CatalogService.method.getDatasetSample,
  CatalogService.method.getServerInfo,
  reflectionV1.ServerReflection.method.serverReflectionInfo,
  reflectionV1Alpha.ServerReflection.method.serverReflectionInfo,
]);

export class Authorizer implements Disposable {
  private readonly tokens: Reloaded<readonly Token[]>;

  /**
   * @param path the file of tokens; read again when it changes
   * @throws {ServerError} it cannot be used.
   */
  constructor(path: string, log: Log) {
    const load = () => parseTokens(readFile(path, "token file"), path);
    this.tokens = new Reloaded({ paths: [path], load, log });
  }

  /**
   * @param header the call's `authorization`
   * @returns the token's name; undefined: the method needs none
   * @throws {ConnectError} unauthenticated: no token, or none that is known; permission-denied: its scope is too small.
   */
  authorize(method: DescMethod, header: string | undefined): string | undefined {
    if (openServices.has(method.parent.typeName)) return undefined;
    const text = /^Bearer +(\S+)$/i.exec(header ?? "")?.[1];
    if (text === undefined) {
      throw new ConnectError(
        'The call needs a token: send the header "authorization: Bearer TOKEN"',
        Code.Unauthenticated,
      );
    }
    const token = findToken(this.tokens.value, text);
    if (!token) throw new ConnectError("The token is not known to this server", Code.Unauthenticated);
    if (token.scope === "read" && !readingMethods.has(method)) {
      throw new ConnectError(
        `${method.name} needs a token with the scope "write", and "${token.name}" has "read"`,
        Code.PermissionDenied,
      );
    }
    return token.name;
  }

  [Symbol.dispose](): void {
    this.tokens[Symbol.dispose]();
  }
}
