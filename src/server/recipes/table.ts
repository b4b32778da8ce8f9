/**
 * Training runs by name, as data: what each sets, and where that is from. Tags: [c] read in the authors' code or on a
 * page of the paper (Lu et al. 2018), [m] from memory, [ours] chosen here. Networks are the smallest of the paper's table.
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

const authorsCode = "The authors' code for Lu et al. 2018 [c]";

export const recipes: readonly Recipe[] = [
  {
    name: "lm-cifar10",
    description: "LM-ResNets of any depth on CIFAR-10: a tenth of the rate at epochs 80 and 120, 160 in all",
    source: authorsCode,
    config: { ...cifar, ...until160, model: { name: "lm-resnet-20" }, dataset: "cifar10" },
  },
  {
    name: "resnet-cifar10",
    description: "The same for ResNets, which LM-ResNets are compared with",
    source: authorsCode,
    config: { ...cifar, ...until160, model: { name: "resnet-20" }, dataset: "cifar10" },
  },
  {
    name: "lm-resnext-cifar10",
    description: "LM-ResNeXts on CIFAR-10: weight decay 5e-4, a tenth of the rate at epochs 150 and 225, 300 in all",
    source: `${authorsCode}; the epochs [m]`,
    config: { ...resnext, ...until300, model: { name: "lm-resnext-29-8x64d" }, dataset: "cifar10" },
  },
  {
    name: "lm-cifar100",
    description: "LM-ResNets on CIFAR-100: a tenth of the rate at epochs 150 and 225, 300 in all",
    source: authorsCode,
    config: { ...cifar, ...until300, model: { name: "lm-resnet-110" }, dataset: "cifar100" },
  },
  {
    name: "resnet-cifar100",
    description: "The same for ResNets",
    source: authorsCode,
    config: { ...cifar, ...until300, model: { name: "resnet-110" }, dataset: "cifar100" },
  },
  {
    name: "lm-resnext-cifar100",
    description: "LM-ResNeXts on CIFAR-100: weight decay 5e-4, a tenth of the rate at epochs 150 and 225, 300 in all",
    source: `${authorsCode}; the epochs [m]`,
    config: { ...resnext, ...until300, model: { name: "lm-resnext-29-8x64d" }, dataset: "cifar100" },
  },
  {
    name: "lm-stochastic-56-cifar10",
    description: "LM-ResNet-56 on CIFAR-10 with stochastic depth down to 0.8: a tenth at 250 and 375 of 500 epochs",
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
    description: "LM-ResNet-110 on CIFAR-10 with stochastic depth down to 0.5: a tenth at 250 and 375 of 500 epochs",
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
    description: "ResNet-110 on CIFAR-10 with stochastic depth down to 0.5, as it was first done",
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
    description: "Networks for ImageNet: a tenth of the rate every 30 epochs, 90 in all",
    source: "The common recipe, as of fb.resnet.torch [m]; that crops at any scale, this mirrors alone",
    config: {
      model: { name: "lm-resnet-50" },
      dataset: "imagenet",
      epochs: 90,
      batchSize: 256,
      optimizer: { ...sgd, weightDecay: 1e-4 },
      schedule: { milestones: [30, 60], factor: 0.1 },
      augmentation: { cropPadding: 0, horizontalFlip: true },
    },
  },
  {
    name: "cifar10-short",
    description: "30 epochs on CIFAR-10: a warm-up and a cosine, Nesterov's momentum, label smoothing",
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
