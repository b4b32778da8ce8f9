import type { ServiceImpl } from "@connectrpc/connect";
import { health } from "../../gen/mod.ts";
import { Bells } from "../bells.ts";
import { RequestError } from "../errors.ts";

const Status = health.HealthCheckResponse_ServingStatus;

/** Whether the services can be used. The empty name stands for the whole server. */
export class ServerHealth {
  private stopping = false;
  private available = true;
  private readonly bells = new Bells();

  constructor(readonly services: readonly string[]) {}

  get isServing(): boolean {
    return this.available && !this.stopping;
  }

  /** Undefined: a service that is not served. */
  status(service: string): health.HealthCheckResponse_ServingStatus | undefined {
    if (service !== "" && !this.services.includes(service)) return undefined;
    return this.isServing ? Status.SERVING : Status.NOT_SERVING;
  }

  /** Resolves at the next change; throws the signal's reason. */
  async change(signal: AbortSignal): Promise<void> {
    await this.bells.next("", signal);
  }

  /** Whether the engine can be used; false while its worker is replaced. */
  setAvailable(available: boolean): void {
    this.available = available;
    this.bells.ring("");
  }

  stopServing(): void {
    this.stopping = true;
    this.bells.ring("");
  }
}

export function createHealthService(state: ServerHealth): ServiceImpl<typeof health.Health> {
  return {
    check({ service }) {
      const status = state.status(service);
      if (status !== undefined) return { status };
      const known = state.services.join(", ");
      throw new RequestError("not-found", `There is no service ${JSON.stringify(service)}; there are ${known}`);
    },

    list() {
      const statuses = ["", ...state.services].map((service) => [service, { status: state.status(service) }]);
      return { statuses: Object.fromEntries(statuses) };
    },

    async *watch({ service }, { signal }) {
      let told: health.HealthCheckResponse_ServingStatus | undefined;
      while (true) {
        // Listen first, so that no change between is missed.
        const change = state.change(signal);
        const status = state.status(service) ?? Status.SERVICE_UNKNOWN;
        if (status !== told) yield { status };
        told = status;
        await change;
      }
    },
  };
}
