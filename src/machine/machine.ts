/**
 * A machine: the wiring. An IOMMU, the subsystems above it, the devices, and the files by which programs
 * reach them.
 *
 * Making one goes down, step by step: a `--device` argument becomes a plan (devices/load.ts); with a
 * requester id the plan becomes ports, models and drivers (vfio/make-devices.ts, vdpa/make-device.ts); a
 * driver gets its file (nodes.ts).
 *
 * It runs as it is in a unit test (client/in-process.ts) or behind real files (devfs). It decides nothing:
 * what it owns are the lists.
 */
import { describe } from '../devices/checks.js';
import { Clock } from '../devices/clock.js';
import type { DeviceFactory } from '../devices/device-model.js';
import {
  type DevicePlan,
  type PciPlan,
  type PlacedSpec,
  planDevice,
  type VirtioPlan,
} from '../devices/load.js';
import { Outside } from '../devices/outside.js';
import { naming } from '../devices/thrown.js';
import { Wires } from '../devices/wire.js';
import type { Driver } from '../driver/driver.js';
import type { DeviceNode } from '../file/device-node.js';
import type { IdxdDevice } from '../idxd/device.js';
import { makeIdxdDevice } from '../idxd/make-device.js';
import { Numbers } from '../idxd/state.js';
import { IoasidSubsystem } from '../ioasid/subsystem.js';
import { Iommu } from '../iommu/iommu.js';
import { IommufdSubsystem } from '../iommufd/subsystem.js';
import { keptByAccesses } from '../linux/access-cost.js';
import { refuse } from '../linux/errno.js';
import { endPiece } from '../linux/file-waits.js';
import type { SysfsFolder } from '../sysfs/bus-device.js';
import { type SysfsObjects, sysfsFolders } from '../sysfs/tree.js';
import type { RecordedOptions } from '../trace/raw.js';
import type { TraceLogs } from '../trace/reader.js';
import { Trace } from '../trace/trace.js';
import { tracedFolders } from '../trace/traced-folders.js';
import { tracedNodes } from '../trace/traced-nodes.js';
import type { VdpaDevice } from '../vdpa/device.js';
import type { IotlbLimits } from '../vdpa/iotlb.js';
import { makeVdpaDevice } from '../vdpa/make-device.js';
import type { VfioDevice } from '../vfio/device.js';
import { VfioGroup } from '../vfio/group.js';
import { makeDevices } from '../vfio/make-devices.js';
import { type NodeOptions, nodesOf } from './nodes.js';
import { assignRids, busNameOf } from './requester-ids.js';
import { type MachineDevice, type MachineSnapshot, snapshotOf } from './snapshot.js';

/** Devices that do a slice in one step: all programs wait that long. */
const AT_ONCE = 4;

/** What a machine is made of. */
export interface MachineOptions extends NodeOptions {
  /**
   * One SPEC each, as `--device` takes them: `dsa`, `dsa,mdevs=2`, `./my-device.js`; or the factory of a PCI
   * function, which is given no options: `(host) => createNic(host, { link: 'wire0' })`.
   */
  readonly devices: readonly (string | PlacedSpec | DeviceFactory)[];
  /** Where relative paths in `devices` begin. Default: the working directory. */
  readonly baseDirectory?: string;
  /** Requester ids of functions that are beside those of `devices`, which get others. */
  readonly hostFunctions?: readonly string[];
  /** What the timers of devices go by. Default: one that stands still until it is moved (`machine.clock`). */
  readonly clock?: Clock;
  /** What its devices have for disks, and for random numbers. Default: files. @internal */
  readonly outside?: Outside;
  /** PASIDs that one context may have. */
  readonly pasidQuota?: number;
  /** Mappings that one context may have. */
  readonly mappingQuota?: number;
  /** Pages of 4 KiB that the IOMMU may use for the tables, dirty logs and IOTLBs of one context. */
  readonly tableQuota?: number;
  /** Objects that one iommufd context may have. */
  readonly objectQuota?: number;
}

/** An IOMMU, devices, and the files by which programs reach them, in this process: see InProcess. */
export class Machine {
  /** @internal */
  readonly trace = new Trace();
  /** @internal */
  readonly iommu = new Iommu();
  /** @internal */
  readonly ioasid: IoasidSubsystem;
  /** @internal */
  readonly iommufd: IommufdSubsystem;
  /** The files, by their paths below /dev. @internal */
  readonly nodes: readonly DeviceNode[];
  /** The devices, in the order of their files, and the `--device` argument that made each. @internal */
  readonly devices: readonly MachineDevice[];
  /** The VFIO groups, by rising number. @internal */
  readonly groups: readonly VfioGroup[];
  /** Those of Linux's driver idxd, by number. @internal */
  readonly idxd: IdxdDevice[] = [];
  /** What joins devices, by name: `wires.end(name)` is a test's own end of a link. */
  readonly wires = new Wires();
  /** The time of its devices. */
  readonly clock: Clock;
  /** @internal */
  readonly outside: Outside;
  /** How it was made, as data; undefined: by a factory, which is none. */
  readonly made: RecordedOptions | undefined;
  readonly #functions: VfioDevice[] = [];
  readonly #vdpa: VdpaDevice[] = [];
  /** Made when somebody asks for it. */
  #sysfs: readonly SysfsFolder[] | undefined;
  /** Of what is opened and has mappings of its own. */
  readonly #limits: IotlbLimits;
  readonly #numbers = { minors: new Numbers(), files: new Numbers() };
  /** Of the device that has the first turn in the next step. */
  #turn = 0;
  /** Devices that had nothing to do when they had their turn. */
  readonly #idle: Driver[] = [];

  private constructor(options: MachineOptions, plans: readonly DevicePlan[]) {
    const { pasidQuota, mappingQuota, tableQuota, objectQuota } = options;
    this.clock = options.clock ?? new Clock();
    this.outside = options.outside ?? new Outside();
    this.made = madeBy(options);
    this.ioasid = new IoasidSubsystem(this.iommu, pasidQuota, mappingQuota, tableQuota);
    const quotas = { mappings: mappingQuota, objects: objectQuota, tables: tableQuota };
    this.iommufd = new IommufdSubsystem(this.iommu, quotas, options.strict);
    this.#limits = { mappings: mappingQuota, tables: tableQuota };
    this.devices = this.#makeDevices(plans, options);
    this.groups = this.#functions.map((device) => new VfioGroup(device));
    const { ioasid, iommufd, iommu } = this;
    const objects = { ioasid, iommufd, iommu, limits: this.#limits, ...this.#served };
    this.nodes = tracedNodes(this.trace, nodesOf(objects, options));
  }

  /** @throws Refusal, Error when a device cannot be made: the sentence says which argument is wrong. */
  static async create(options: MachineOptions): Promise<Machine> {
    const { baseDirectory = process.cwd(), devices } = options;
    if (!Array.isArray(devices))
      refuse('EINVAL', `devices is ${describe(devices)}, not a list of devices, as ['edu', './x.mjs']`);
    const plans = await Promise.all(devices.map((each, n) => planDevice(each, baseDirectory, n)));
    return new Machine(options, plans);
  }

  /**
   * Lets timers come that are due, and devices do a slice of their queued work, AT_ONCE of them in turn, and
   * none after one whose memory has let us wait.
   * @returns whether there is more: of timers, of those that worked, or of those before them, to which they
   * may have sent something, or of those that had no turn; also where memory has let us wait, so that nothing
   * else is begun before those are served who have waited meanwhile.
   */
  step(): boolean {
    const { inputs } = this.trace;
    const { total } = inputs;
    let worked = this.clock.fire();
    let more = worked;
    this.#idle.length = 0;
    const [first, { length }] = [this.#turn, this.devices];
    const kept = keptByAccesses();
    let turns = 0;
    this.#turn = 0;
    for (let n = 0; n < length; n++) {
      const { driver } = this.devices[(first + n) % length]!;
      if (!driver.busy()) this.#idle.push(driver);
      else if (turns++ < AT_ONCE && keptByAccesses() === kept) {
        worked = true;
        if (driver.step()) more ||= driver.busy();
      } else {
        this.#turn = (first + n) % length;
        more = true;
        break;
      }
    }
    // Who asks whether a device is busy has it hear its doorbells.
    if (inputs.on && (worked || inputs.total !== total)) inputs.record({ kind: 'step' });
    endPiece();
    return more || keptByAccesses() !== kept || (worked && this.#idle.some((driver) => driver.busy()));
  }

  /** Lets time pass on a clock that stands still, and then all devices work until there is no more. */
  advance(microseconds: number): void {
    this.clock.advance(microseconds);
    while (this.step());
  }

  /** What it has below /sys: folders by their paths, none of which is in another. @internal */
  get sysfs(): readonly SysfsFolder[] {
    this.#sysfs ??= tracedFolders(this.trace, sysfsFolders(this.#served));
    return this.#sysfs;
  }

  /** What there is, now. */
  snapshot(): MachineSnapshot {
    return snapshotOf(this);
  }

  /** The devices whose DMA carries requester id `rid`. @internal */
  namesOf(rid: string): string[] {
    return this.devices.flatMap(({ driver: { life } }) => (life.rid === rid ? [life.name] : []));
  }

  /** Where is logged what happens in it. @internal */
  get logs(): TraceLogs {
    const { faults, transfers } = this.iommu;
    const devices = this.devices.map(({ driver: { life } }) => {
      return { name: life.name, notes: life.work.calls.notes, happenings: life.happenings };
    });
    return {
      trace: this.trace,
      faults,
      transfers,
      devices,
      readings: this.clock.readings,
      disks: this.outside.log,
      links: this.wires.log,
    };
  }

  get #served(): SysfsObjects {
    return { vdpa: this.#vdpa, groups: this.groups, idxd: this.idxd };
  }

  #makeDevices(
    plans: readonly DevicePlan[],
    { strict = false, hostFunctions }: MachineOptions,
  ): MachineDevice[] {
    const rids = assignRids(plans, hostFunctions);
    const buses = new Map<string, VfioDevice[]>();
    return plans.flatMap((plan, n) => {
      const bus = plan.port === true ? busOf(buses, rids[n]!) : undefined;
      const place = { strict, baseDirectory: plan.baseDirectory, bus };
      const drivers = naming(plan.title, () => this.#makeDrivers(plan, rids[n]!, place));
      return drivers.map((driver) => ({ driver, spec: plan.spec }));
    });
  }

  #makeDrivers(plan: DevicePlan, rid: string, place: Place): readonly Driver[] {
    if (plan.transport === 'virtio') return [this.#makeVdpa(plan, rid, place.baseDirectory)];
    return plan.idxd ? [this.#makeIdxd(plan, rid, place)] : this.#makeFunctions(plan, rid, place);
  }

  #makeIdxd({ make, calls }: PciPlan, rid: string, { strict, baseDirectory }: Place): IdxdDevice {
    const { clock, wires, outside, ioasid } = this;
    const made = makeIdxdDevice(ioasid, {
      ...{ rid, make, calls, clock, wires, outside, baseDirectory },
      id: this.idxd.length,
      numbers: this.#numbers,
      userSubmissionSafe: !strict,
    });
    this.idxd.push(made);
    return made;
  }

  #makeFunctions({ mdevs, make, calls }: PciPlan, rid: string, place: Place): readonly VfioDevice[] {
    const { clock, wires, outside } = this;
    const from = { clock, wires, outside };
    const request = { rid, mdevs, make, calls, ...from, ...place, firstIndex: this.#functions.length };
    const made = makeDevices(this.iommu, this.ioasid.pasids, request);
    this.#functions.push(...made);
    return made;
  }

  #makeVdpa({ make, calls }: VirtioPlan, rid: string, baseDirectory: string): VdpaDevice {
    const { wires, outside } = this;
    const made = makeVdpaDevice(this.iommu, this.ioasid.pasids, {
      rid,
      calls,
      name: `vhost-vdpa-${this.#vdpa.length}`,
      limits: this.#limits,
      clock: this.clock,
      make: (rest) => make({ baseDirectory, wires, outside, ...rest }),
    });
    this.#vdpa.push(made);
    return made;
  }
}

function madeBy({
  clock: _clock,
  outside: _outside,
  baseDirectory: _base,
  ...options
}: MachineOptions): RecordedOptions | undefined {
  return options.devices.some((device) => typeof device === 'function') ? undefined : options;
}

interface Place {
  readonly strict: boolean;
  readonly baseDirectory: string;
  /** As of FunctionRequest. */
  readonly bus: VfioDevice[] | undefined;
}

/** What there is of the bus of `rid`, which is made when nothing is there yet. */
function busOf(buses: Map<string, VfioDevice[]>, rid: string): VfioDevice[] {
  const name = busNameOf(rid);
  const bus = buses.get(name) ?? [];
  buses.set(name, bus);
  return bus;
}
