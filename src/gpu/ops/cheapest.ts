/** The cheapest of several forms by a cost model, apart enough from each other that measuring them is worthwhile. */

export interface Costed {
  /** Estimated; only ratios count. */
  readonly cost: number;
  /** Forms of equal shape count as one: the cheapest of them. */
  readonly shape: string;
}

/** At most `count`, of different shapes, the cheapest first; of equal costs the one that came first. */
export function cheapest<T extends Costed>(forms: Iterable<T>, count: number): T[] {
  const best = new Map<string, T>();
  for (const form of forms) {
    const known = best.get(form.shape);
    if (!known || form.cost < known.cost) best.set(form.shape, form);
  }
  return [...best.values()].sort((a, b) => a.cost - b.cost).slice(0, count);
}
