/**
 * The paper's tables as data: which networks stand side by side, what error the paper prints, and how they are trained.
 *
 * Y. Lu, A. Zhong, Q. Li, B. Dong, Beyond Finite Layer Neural Networks: Bridging Deep Architectures and Numerical
 * Differential Equations, ICML 2018, arXiv 1710.10121.
 */

/** How far a number can be relied on. */
export type Tag = "c" | "m";

/** What a report says of the tags it uses. */
export const tagMeanings: Readonly<Record<Tag, string>> = {
  c: "read in the authors' code or on a stored page of the paper",
  m: "from memory, not checked against the paper: not to be quoted as the paper's",
};

/** A number as it was published, with its tag. */
export interface Published {
  readonly value: number;
  readonly tag: Tag;
}

export interface Network {
  /** Its name in the zoo. */
  readonly model: string;
  /** Top-1 error in percent; absent: the paper reports none. */
  readonly error?: Published;
  /** In millions; absent: not at hand. */
  readonly parameters?: Published;
}

/** Two networks that differ in their scheme. */
export interface TableRow {
  /** As `--rows` takes it. */
  readonly name: string;
  readonly residual: Network;
  readonly multistep: Network;
  /** Where it differs from the table's. */
  readonly recipe?: Partial<Recipe>;
}

/** Epochs are counted from 0; the rate is divided by 10 at the milestones. */
export interface Recipe {
  readonly epochs: number;
  readonly milestones: readonly number[];
  readonly batchSize: number;
  readonly learningRate: number;
  readonly momentum: number;
  readonly weightDecay: number;
  /** Of stochastic depth: the probability with which the last block survives. Absent: none is dropped. */
  readonly survival?: number;
  /** How far the recipe as a whole can be relied on: the least of its numbers. */
  readonly tag: Tag;
}

/** The data set that a table is about. */
export interface TableDataset {
  /** That it is expected under on the server. */
  readonly name: string;
  readonly trainImages: number;
  readonly testImages: number;
  /** What `datasets import` makes it of. */
  readonly source: string;
  readonly importOptions?: string;
}

export interface Table {
  readonly name: string;
  readonly title: string;
  readonly dataset: TableDataset;
  /** What the recipe asks of the augmentation; absent: the data set's own. */
  readonly augmentation?: { readonly cropPadding: number; readonly horizontalFlip: boolean };
  readonly recipe: Recipe;
  readonly rows: readonly TableRow[];
  /** What a reader must know to compare: sentences. */
  readonly notes: readonly string[];
}

const checked = (value: number): Published => ({ value, tag: "c" });
const remembered = (value: number): Published => ({ value, tag: "m" });

const cifarRecipe: Recipe = {
  epochs: 160,
  milestones: [80, 120],
  batchSize: 128,
  learningRate: 0.1,
  momentum: 0.9,
  weightDecay: 1e-4,
  tag: "c",
};

const cifarAugmentation = { cropPadding: 4, horizontalFlip: true };

const sameLayout =
  "resnet-N here has the layout of lm-resnet-N (pre-activation, 1x1 projections where the shape changes), so that the " +
  "multi-step coefficients k are the only difference.";

export const cifar10Depth: Table = {
  name: "cifar10-depth",
  title: "CIFAR-10: ResNet and LM-ResNet by depth",
  dataset: {
    name: "cifar10",
    trainImages: 50_000,
    testImages: 10_000,
    source: "the archive cifar-10-binary.tar.gz, or a folder of train.zip and test.zip",
  },
  augmentation: cifarAugmentation,
  recipe: cifarRecipe,
  rows: [
    depthRow(20, { residual: 8.75, multistep: 8.33, parameters: 0.27 }),
    depthRow(32, { residual: 7.51, multistep: 7.18, parameters: 0.46 }),
    depthRow(44, { residual: 7.17, multistep: 6.66, parameters: 0.66 }),
    depthRow(56, { residual: 6.97, multistep: 6.31, parameters: 0.85 }),
    depthRow(110, { residual: 6.37, parameters: 1.7 }),
  ],
  notes: [
    sameLayout,
    "The paper says of its ResNet that the one of depth 110 is pre-activation, and reports no LM-ResNet of that depth.",
  ],
};

interface DepthNumbers {
  readonly residual: number;
  readonly multistep?: number;
  /** Of both; from memory. */
  readonly parameters: number;
}

function depthRow(depth: number, { residual, multistep, parameters }: DepthNumbers): TableRow {
  return {
    name: String(depth),
    residual: { model: `resnet-${depth}`, error: checked(residual), parameters: remembered(parameters) },
    multistep: {
      model: `lm-resnet-${depth}`,
      error: multistep === undefined ? undefined : checked(multistep),
      parameters: remembered(parameters),
    },
  };
}

const resnextRecipe = { weightDecay: 5e-4 };

export const cifar100Resnext: Table = {
  name: "cifar100-resnext",
  title: "CIFAR-100: ResNet, ResNeXt and their LM forms",
  dataset: {
    name: "cifar100",
    trainImages: 50_000,
    testImages: 10_000,
    source: "the archive cifar-100-binary.tar.gz",
  },
  augmentation: cifarAugmentation,
  recipe: { ...cifarRecipe, epochs: 300, milestones: [150, 225], tag: "m" },
  rows: [
    {
      name: "110",
      residual: { model: "resnet-110", error: remembered(27.76) },
      multistep: { model: "lm-resnet-110", error: remembered(25.87) },
    },
    {
      name: "164",
      residual: { model: "resnet-164", error: remembered(24.33) },
      multistep: { model: "lm-resnet-164", error: remembered(22.9) },
    },
    {
      name: "8x64d",
      residual: { model: "resnext-29-8x64d", error: checked(17.77), parameters: checked(34.4) },
      multistep: { model: "lm-resnext-29-8x64d", error: remembered(17.49), parameters: remembered(35.1) },
      recipe: resnextRecipe,
    },
    {
      name: "16x64d",
      residual: { model: "resnext-29-16x64d", error: checked(17.31), parameters: checked(68.1) },
      multistep: { model: "lm-resnext-29-16x64d", error: remembered(16.79), parameters: remembered(68.8) },
      recipe: resnextRecipe,
    },
  ],
  notes: [
    `${sameLayout} resnext-29 is post-activation as published; lm-resnext-29 is pre-activation and projects both terms ` +
    "of its history, which gives the paper's parameter counts.",
  ],
};

/** With the authors' probabilities of survival: .8 for depth 56, .5 for 110. */
export const stochasticDepth: Table = {
  name: "stochastic-depth",
  title: "CIFAR-10: ResNet and LM-ResNet with stochastic depth",
  dataset: cifar10Depth.dataset,
  augmentation: cifarAugmentation,
  recipe: { ...cifarRecipe, epochs: 500, milestones: [250, 375], survival: 0.5 },
  rows: [
    {
      name: "56",
      residual: { model: "resnet-56", error: remembered(5.66) },
      multistep: { model: "lm-resnet-56", error: remembered(5.14) },
      recipe: { survival: 0.8 },
    },
    {
      name: "110",
      residual: { model: "resnet-110", error: remembered(5.25) },
      multistep: { model: "lm-resnet-110", error: remembered(4.8) },
    },
    {
      name: "1202",
      residual: { model: "resnet-1202", error: remembered(4.91) },
      multistep: { model: "lm-resnet-1202" },
      // The facts at hand have no p_L of this depth; Huang et al. 2016 use .5.
      recipe: { tag: "m" },
    },
  ],
  notes: [
    sameLayout,
    "A block's f is dropped by chance, once a block and batch, with a probability that rises linearly from 0 at the first " +
    "block; where it survives it is divided by the probability that it does. Both networks of a row are trained so.",
    "The paper reports no LM-ResNet of depth 1202; its probability of survival is that of Huang et al. 2016.",
  ],
};

export const imagenet: Table = {
  name: "imagenet",
  title: "ImageNet: ResNet and LM-ResNet, top-1 error of a single crop",
  dataset: {
    name: "imagenet",
    trainImages: 1_281_167,
    testImages: 50_000,
    source: "a folder of train and test, each with a folder a class",
    importOptions: "--streamed",
  },
  recipe: {
    epochs: 90,
    milestones: [30, 60],
    batchSize: 256,
    learningRate: 0.1,
    momentum: 0.9,
    weightDecay: 1e-4,
    tag: "m",
  },
  rows: [
    {
      name: "50",
      residual: { model: "resnet-50", error: checked(24.7) },
      multistep: { model: "lm-resnet-50", error: checked(23.8) },
    },
    {
      name: "101",
      residual: { model: "resnet-101", error: checked(23.6) },
      multistep: { model: "lm-resnet-101", error: checked(22.6) },
    },
  ],
  notes: [
    "resnet-50 and -101 are torchvision's, post-activation; the LM networks are pre-activation.",
    "The augmentation is the data set's own, which report.json has: of a streamed one crops of random scale and aspect ratio, " +
    "as in the recipe.",
  ],
};

/** By the names that the command takes. */
export const tables: readonly Table[] = [cifar10Depth, cifar100Resnext, stochasticDepth, imagenet];
