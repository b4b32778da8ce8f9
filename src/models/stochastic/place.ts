import { pcg4d, type StepKey } from "../../gpu/mod.ts";

/** Which of a network's blocks, counted from 0. */
export interface BlockPlace {
  readonly name: string;
  readonly index: number;
  readonly blocks: number;
}

/** Four numbers in [0, 1) for a step, a place within the network and a purpose. */
export function chances(
  { seed, step }: StepKey,
  { place, purpose }: { readonly place: number; readonly purpose: number },
): [number, number, number, number] {
  const [a, b, c, d] = pcg4d(seed, step, place, purpose);
  return [a / 2 ** 32, b / 2 ** 32, c / 2 ** 32, d / 2 ** 32];
}
