/** OptimizerConfig and ScheduleConfig: every field checked, every default filled in. */
import { optimizationDefaults, type ScheduleKind, type TrainingConfig } from "../../engine/mod.ts";
import * as proto from "../../gen/mod.ts";
import { isFalling, scheduleKinds } from "../convert/optimization.ts";
import { InvalidFieldError } from "../errors.ts";
import {
  checkEnum,
  checkFraction,
  checkInteger,
  checkPart,
  checkPositive,
  checkSingle,
  checkWithin,
  checkZeroOrSingle,
} from "./fields.ts";

type OptimizerFields = Pick<
  TrainingConfig,
  | "learningRate"
  | "momentum"
  | "weightDecay"
  | "decayMultistepCoefficients"
  | "nesterov"
  | "decayBatchNorm"
  | "decayBiases"
  | "clipGlobalNorm"
  | "emaDecay"
>;

/** @throws {InvalidFieldError} */
export function checkOptimizer(message: proto.OptimizerConfig | undefined): OptimizerFields {
  const { learningRate = 0.1, momentum = 0.9, weightDecay = 1e-4, decayMultistepCoefficients = true } = message ?? {};
  const { nesterov, decayBatchNorm, decayBiases, clipGlobalNorm } = { ...optimizationDefaults, ...message };
  if (nesterov && momentum === 0) {
    throw new InvalidFieldError("config.optimizer.nesterov", nesterov, "false where the momentum is 0");
  }
  return {
    learningRate: checkSingle("config.optimizer.learning_rate", learningRate),
    momentum: checkFraction("config.optimizer.momentum", momentum),
    weightDecay: checkZeroOrSingle("config.optimizer.weight_decay", weightDecay),
    decayMultistepCoefficients,
    nesterov,
    decayBatchNorm,
    decayBiases,
    clipGlobalNorm: checkZeroOrSingle("config.optimizer.clip_global_norm", clipGlobalNorm),
    emaDecay: checkDecay("config.optimizer.ema_decay", message?.emaDecay),
  };
}

type ScheduleFields = Pick<
  TrainingConfig,
  "schedule" | "milestones" | "factor" | "warmupEpochs" | "warmupStartFactor" | "finalFactor"
>;

const kindsByNumber: Readonly<Record<number, ScheduleKind>> = {
  [proto.ScheduleKind.UNSPECIFIED]: optimizationDefaults.schedule,
  ...Object.fromEntries(Object.entries(scheduleKinds).map(([kind, number]) => [number, kind as ScheduleKind])),
};

const allowedKinds = Object.entries(scheduleKinds)
  .map(([kind, number]) => `SCHEDULE_KIND_${kind.toUpperCase()} (${number})`)
  .join(", ");

/** @throws {InvalidFieldError} also for a field that the kind of schedule has no use for. */
export function checkSchedule(
  message: proto.ScheduleConfig | undefined,
  { epochs, mostEpochs }: { readonly epochs: number; readonly mostEpochs: number },
): ScheduleFields {
  const { milestones = [], factor, finalFactor, kind = 0 } = message ?? {};
  const { warmupEpochs, warmupStartFactor } = { ...optimizationDefaults, ...message };
  const schedule = checkEnum("config.schedule.kind", kind, kindsByNumber, `${allowedKinds}, or left out`);
  if (schedule !== "steps") {
    const remedy = "left out: SCHEDULE_KIND_STEPS alone has it";
    if (milestones.length > 0) throw new InvalidFieldError("config.schedule.milestones", `${milestones}`, remedy);
    if (factor !== undefined) throw new InvalidFieldError("config.schedule.factor", factor, remedy);
  }
  if (factor !== undefined && milestones.length === 0) {
    throw new InvalidFieldError("config.schedule.factor", factor, "left out without milestones");
  }
  if (message?.warmupStartFactor !== undefined && warmupEpochs === 0) {
    const given = message.warmupStartFactor;
    throw new InvalidFieldError("config.schedule.warmup_start_factor", given, "left out without warmup_epochs");
  }
  if (!isFalling(schedule) && finalFactor !== undefined) {
    const remedy = "left out: SCHEDULE_KIND_COSINE and SCHEDULE_KIND_LINEAR alone have it";
    throw new InvalidFieldError("config.schedule.final_factor", finalFactor, remedy);
  }
  milestones.forEach((milestone, index) => {
    const min = index === 0 ? 0 : milestones[index - 1] + 1;
    checkInteger(`config.schedule.milestones[${index}]`, milestone, { min, max: mostEpochs });
  });
  return {
    schedule,
    milestones,
    factor: checkPositive("config.schedule.factor", factor ?? 0.1),
    warmupEpochs: checkWithin("config.schedule.warmup_epochs", warmupEpochs, { min: 0, max: epochs }),
    warmupStartFactor: checkPart("config.schedule.warmup_start_factor", warmupStartFactor),
    finalFactor: checkWithin("config.schedule.final_factor", finalFactor ?? optimizationDefaults.finalFactor, {
      min: 0,
      max: 1,
    }),
  };
}

/** Closer to 1, what a step adds to an average is below what a 32-bit float tells apart: it would stay as it began. */
const mostDecay = 0.999999;

/** Above 0; undefined: there is none. @throws {InvalidFieldError} */
export function checkDecay(field: string, value: number | undefined): number | undefined {
  if (value === undefined || (value > 0 && value <= mostDecay)) return value;
  throw new InvalidFieldError(field, value, `above 0 and at most ${mostDecay}, or left out`);
}
