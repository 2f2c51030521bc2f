/** Stage: the world and the report, and what the steps of the story do with both. */
import type { FaultRecord } from '../../iommu/fault-log.js';
import type { MachineSnapshot } from '../../machine/snapshot.js';
import type { ExpectedFault, Report } from './report.js';
import type { World } from './world.js';

/** What must not be left behind. */
export interface Counters {
  readonly contexts: number;
  readonly PASIDs: number;
  readonly mappings: number;
  readonly memories: number;
  readonly authorizations: number;
  readonly devices: number;
}

export function count({ contexts, pasids, mappings, memories, devices }: MachineSnapshot): Counters {
  return {
    contexts: contexts.length,
    PASIDs: pasids.used,
    mappings,
    memories,
    authorizations: devices.reduce((sum, device) => sum + device.authorizations.length, 0),
    devices: devices.filter((device) => device.pid !== undefined).length,
  };
}

export class Stage {
  readonly world: World;
  readonly report: Report;
  readonly #patience: number;

  /** @param patience what does not happen in so many milliseconds is not going to */
  constructor(world: World, report: Report, patience: number) {
    this.world = world;
    this.report = report;
    this.#patience = patience;
  }

  async counters(): Promise<Counters> {
    return count(await this.world.state());
  }

  /**
   * Waits until the counters hold; a close is over for the program before it is over for the server. @returns
   * whether they do.
   */
  until(holds: (counters: Counters) => boolean): Promise<boolean> {
    return this.#wait((state) => holds(count(state)));
  }

  /**
   * Has `act` give a device work that it must fail at: the first fault must be `expected`. Returns when all
   * work is over.
   */
  async faulted(what: string, expected: ExpectedFault, act: () => Promise<unknown>): Promise<void> {
    const { total } = (await this.world.state()).faults;
    await act();
    await this.idle();
    this.report.fault(what, await this.#faultsSince(total), expected);
  }

  /** Waits until no device has work. */
  async idle(): Promise<void> {
    if (!(await this.#wait(({ devices }) => devices.every(({ busy }) => !busy))))
      throw new Error('a device does not finish its work');
  }

  async #faultsSince(sequence: number): Promise<FaultRecord[]> {
    const { faults } = await this.world.state();
    return faults.recent.filter((fault) => fault.sequence >= sequence);
  }

  async #wait(holds: (state: MachineSnapshot) => boolean): Promise<boolean> {
    const end = Date.now() + this.#patience;
    while (!holds(await this.world.state())) if (Date.now() > end) return false;
    return true;
  }
}
