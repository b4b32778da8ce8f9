/**
 * Spreads classes of any sizes evenly: image i of the n of a class stands at (i + 1/2) / n of the way, so that any
 * prefix holds the classes in nearly their shares. Whoever trains on the first thousand images gets all of them.
 *
 * @param counts images a class
 * @returns the images in order, as class and index within the class; equal places go by class
 */
export function balancedOrder(
  counts: readonly number[],
): { readonly classes: Uint32Array; readonly indices: Uint32Array } {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const classOf = new Uint32Array(total);
  const indexOf = new Uint32Array(total);
  const place = new Float64Array(total);
  let next = 0;
  counts.forEach((count, index) => {
    for (let i = 0; i < count; i++, next++) {
      classOf[next] = index;
      indexOf[next] = i;
      place[next] = (i + 0.5) / count;
    }
  });
  const order = Uint32Array.from({ length: total }, (_, i) => i);
  // Numbered by class, so the number breaks ties.
  order.sort((a, b) => place[a] - place[b] || a - b);
  return { classes: order.map((i) => classOf[i]), indices: order.map((i) => indexOf[i]) };
}
