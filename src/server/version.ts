import project from "../../deno.json" with { type: "json" };

/** Of Multistep. */
export const version: string = project.version;
