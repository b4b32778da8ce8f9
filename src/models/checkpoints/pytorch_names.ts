/**
 * How PyTorch's users name what is stored here: torchvision's modules, whose names most networks written by hand share.
 *
 * | here                                  | in PyTorch                                                             |
 * | ------------------------------------- | ---------------------------------------------------------------------- |
 * | `stem.conv`, `stem.bn`                | `conv1`, `bn1`                                                         |
 * | `stage1.block0.conv1`, `.bn1`, `.k`   | `layer1.0.conv1`, `.bn1`, `.k`                                         |
 * | `stage1.block0.g.conv1`               | `layer1.0.g.conv1`, and so all other terms                             |
 * | `....projection.conv`, `.bn`          | `....downsample.0`, `.1`: `nn.Sequential(conv, bn)`                    |
 * | the same, pre-activation              | `....downsample.2`, `.0`: `nn.Sequential(bn, relu, conv)`              |
 * | the same, without BN                  | `....downsample.0`: `nn.Sequential(conv)`                              |
 * | `....history_projection.conv`, `.bn`  | `....history_downsample.2`, `.0`, or `.0` alone without BN             |
 * | `head.bn`, `head.linear`              | `bn`, `fc`                                                             |
 *
 * `weight`, `bias`, `running_mean` and `running_var` are the same on both sides; so are shapes and the order of elements.
 * `num_batches_tracked`, which PyTorch has beside the statistics, is not kept here.
 */

const MODULES: readonly (readonly [RegExp, string])[] = [
  [/^stem\.conv\./, "conv1."],
  [/^stem\.bn\./, "bn1."],
  [/^head\.bn\./, "bn."],
  [/^head\.linear\./, "fc."],
  [/^stage(\d+)\.block(\d+)\./, "layer$1.$2."],
];
const SHORTCUT = /^(.*\.)(history_)?projection\.(bn|conv)\.(\w+)$/;

/**
 * PyTorch's name of each variable.
 * @param names Of a network's variables here, the parameters first and in the order they are recorded in: it tells whether
 * a shortcut begins with its BN.
 */
export function pytorchNames(names: readonly string[]): Map<string, string> {
  const firstLayers = new Map<string, string>();
  return new Map(names.map((name) => {
    const [, block, history = "", layer, leaf] = SHORTCUT.exec(name) ?? [];
    if (block === undefined) return [name, renamed(name)];
    const shortcut = `${block}${history}`;
    const first = firstLayers.get(shortcut) ?? layer;
    firstLayers.set(shortcut, first);
    return [name, renamed(`${shortcut}downsample.${placeOf(layer, first)}.${leaf}`)];
  }));
}

/** In the nn.Sequential: a ReLU stands between a BN and the convolution after it. */
function placeOf(layer: string, first: string): number {
  if (layer === first) return 0;
  return layer === "conv" ? 2 : 1;
}

function renamed(name: string): string {
  const [pattern, replacement] = MODULES.find(([pattern]) => pattern.test(name)) ?? [/^/, ""];
  return name.replace(pattern, replacement);
}
