import type { ExportedModel, ExportJob } from "./messages.ts";

/** The checkpoint itself. */
export async function exportModel(dataDir: string, { checkpoint: path }: ExportJob): Promise<ExportedModel> {
  const content = await Deno.readFile(`${dataDir}/${path}`);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return { path, bytes: content.length, sha256: digest.toHex() };
}
