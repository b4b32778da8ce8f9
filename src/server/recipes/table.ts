/**
 * Training runs by name, as data: what each sets, and where that is from. Tags: [c] read in the authors' code or on a
 * page of the paper (Lu et al. 2018), [m] from memory, [ours] chosen here. The network is the first of the paper's table,
 * where the recipe is for several.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { DepthRule, DropScaling, ScheduleKind, type TrainingConfigSchema } from "../../gen/mod.ts";

export interface Recipe {
  readonly name: string;
  readonly description: string;
  readonly source: string;
  readonly config: MessageInitShape<typeof TrainingConfigSchema>;
}

const padAndMirror = { cropPadding: 4, horizontalFlip: true };
const sgd = { learningRate: 0.1, momentum: 0.9 };

const cifar = {
  batchSize: 128,
  optimizer: { ...sgd, weightDecay: 1e-4 },
  augmentation: padAndMirror,
};
const resnext = { ...cifar, optimizer: { ...sgd, weightDecay: 5e-4 } };
const until160 = { epochs: 160, schedule: { milestones: [80, 120], factor: 0.1 } };
const until300 = { epochs: 300, schedule: { milestones: [150, 225], factor: 0.1 } };
const until500 = { epochs: 500, schedule: { milestones: [250, 375], factor: 0.1 } };

const authorsCode = "Lu et al. 2018, the authors' code [c]";

export const recipes: readonly Recipe[] = [
  {
    name: "lm-cifar10",
    description: "LM-ResNets of any depth",
    source: authorsCode,
    config: { ...cifar, ...until160, model: { name: "lm-resnet-20" }, dataset: "cifar10" },
  },
  {
    name: "resnet-cifar10",
    description: "ResNets, for comparison with LM-ResNets",
    source: authorsCode,
    config: { ...cifar, ...until160, model: { name: "resnet-20" }, dataset: "cifar10" },
  },
  {
    name: "lm-resnext-cifar10",
    description: "LM-ResNeXts, with weight decay 5e-4",
    source: `${authorsCode}; the epochs [m]`,
    config: { ...resnext, ...until300, model: { name: "lm-resnext-29-8x64d" }, dataset: "cifar10" },
  },
  {
    name: "lm-cifar100",
    description: "LM-ResNets of any depth",
    source: authorsCode,
    config: { ...cifar, ...until300, model: { name: "lm-resnet-110" }, dataset: "cifar100" },
  },
  {
    name: "resnet-cifar100",
    description: "ResNets, for comparison with LM-ResNets",
    source: authorsCode,
    config: { ...cifar, ...until300, model: { name: "resnet-110" }, dataset: "cifar100" },
  },
  {
    name: "lm-resnext-cifar100",
    description: "LM-ResNeXts, with weight decay 5e-4",
    source: `${authorsCode}; the epochs [m]`,
    config: { ...resnext, ...until300, model: { name: "lm-resnext-29-8x64d" }, dataset: "cifar100" },
  },
  {
    name: "lm-stochastic-56-cifar10",
    description: "LM-ResNet-56 with stochastic depth down to 0.8",
    source: authorsCode,
    config: {
      ...cifar,
      ...until500,
      model: { name: "lm-resnet-56" },
      dataset: "cifar10",
      stochastic: { depth: { survival: 0.8, depthRule: DepthRule.ZERO_BASED, dropScaling: DropScaling.TRAINING } },
    },
  },
  {
    name: "lm-stochastic-110-cifar10",
    description: "LM-ResNet-110 with stochastic depth down to 0.5",
    source: authorsCode,
    config: {
      ...cifar,
      ...until500,
      model: { name: "lm-resnet-110" },
      dataset: "cifar10",
      stochastic: { depth: { survival: 0.5, depthRule: DepthRule.ZERO_BASED, dropScaling: DropScaling.TRAINING } },
    },
  },
  {
    name: "stochastic-110-cifar10",
    description: "ResNet-110 with stochastic depth down to 0.5",
    source: "Huang et al. 2016 [m]",
    config: {
      ...cifar,
      ...until500,
      model: { name: "resnet-110" },
      dataset: "cifar10",
      stochastic: { depth: { survival: 0.5, depthRule: DepthRule.ONE_BASED, dropScaling: DropScaling.TEST } },
    },
  },
  {
    name: "imagenet",
    description: "Any network for ImageNet, cropped as the data set says",
    source:
      "The common recipe, as of fb.resnet.torch [m]; a streamed data set's images are cropped at any scale, as there",
    config: {
      model: { name: "lm-resnet-50" },
      dataset: "imagenet",
      epochs: 90,
      batchSize: 256,
      optimizer: { ...sgd, weightDecay: 1e-4 },
      schedule: { milestones: [30, 60], factor: 0.1 },
      augmentation: { horizontalFlip: true },
    },
  },
  {
    name: "cifar10-short",
    description: "A warm-up and a cosine, Nesterov's momentum, label smoothing",
    source: "Common practice of later years [ours]",
    config: {
      model: { name: "lm-resnet-20" },
      dataset: "cifar10",
      epochs: 30,
      batchSize: 128,
      optimizer: { ...sgd, weightDecay: 5e-4, nesterov: true, decayBatchNorm: false, decayBiases: false },
      schedule: { kind: ScheduleKind.COSINE, warmupEpochs: 2 },
      labelSmoothing: 0.1,
      augmentation: padAndMirror,
    },
  },
];
