/** Runs scripts by a Python that has PyTorch and safetensors, where there is one: MULTISTEP_PYTHON or python3. */
const python = Deno.env.get("MULTISTEP_PYTHON") ?? "python3";

export const hasPyTorch = await (async () => {
  try {
    const { success } = await new Deno.Command(python, { args: ["-c", "import torch, safetensors"] }).output();
    return success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
})();

/** For the name of a test that needs it. */
export const skippedWithoutPyTorch = hasPyTorch ? "" : " (skipped: python3, or MULTISTEP_PYTHON, has no torch)";

/** What a script of tests/golden prints. @throws {Error} with what it says of its failure */
export async function runPyTorch(script: string, args: readonly string[]): Promise<string> {
  const path = new URL(`../golden/${script}`, import.meta.url).pathname;
  const { success, stdout, stderr } = await new Deno.Command(python, { args: ["-B", path, ...args] }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (!success) throw new Error(text(stderr));
  return text(stdout);
}
