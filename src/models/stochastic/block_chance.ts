import type { Graph } from "../../gpu/mod.ts";
import type { BlockChance } from "../blocks/block.ts";
import type { StochasticTraining } from "./choices.ts";
import { recordSurvival } from "./depth.ts";
import { blockJoins } from "./drop_path.ts";
import type { BlockPlace } from "./place.ts";
import { recordMixture } from "./shake_shake.ts";

/** What a block's scheme takes of chance. */
export function blockChance(
  graph: Graph,
  { depth, dropPath, shakeShake }: StochasticTraining,
  place: BlockPlace,
): BlockChance {
  return {
    draw: depth && recordSurvival(graph, depth, place),
    join: dropPath && graph.options.training ? blockJoins(graph, dropPath, place) : undefined,
    mixture: shakeShake && (() => recordMixture(graph, place)),
  };
}
