/**
 * A machine: the wiring. An IOMMU, the ioasid subsystem above it, the devices, and the files by which
 * programs reach them.
 *
 * It runs as it is in a unit test (client/in-process.ts) or behind real files (devfs). It decides nothing:
 * what it owns are the lists.
 */
import { loadDeviceFactory, parseDeviceSpec } from './devices/load.js';
import type { DeviceNode } from './file/device-node.js';
import type { IoasidContext } from './ioasid/context.js';
import type { PasidSpace } from './ioasid/pasid-space.js';
import { IoasidSubsystem } from './ioasid/subsystem.js';
import type { FaultRecord } from './iommu/fault-log.js';
import { Iommu } from './iommu/iommu.js';
import type { IommufdContext } from './iommufd/context.js';
import { IommufdSubsystem } from './iommufd/subsystem.js';
import { refuse } from './linux/errno.js';
import { checkGranted } from './uapi/bind-first.js';
import { DeviceFile } from './uapi/device-file.js';
import { contextTable, deviceTable } from './uapi/ioasid.js';
import type { IoctlTable } from './uapi/ioctl.js';
import { iommuTestTable } from './uapi/iommu-test.js';
import { regionOperations, vfioIoctls } from './uapi/vfio.js';
import { cdevIoctls } from './uapi/vfio-cdev.js';
import { containerTable, groupTable } from './uapi/vfio-container.js';
import type { VfioDevice } from './vfio/device.js';
import { VfioGroup } from './vfio/group.js';
import { makeDevices } from './vfio/make-devices.js';

export interface MachineOptions {
  /** One SPEC each, as `--device` takes them: `dsa`, `dsa,mdevs=2`, `edu`, `./my-device.js`. */
  readonly devices: readonly string[];
  /** Where relative paths in `devices` begin. Default: the working directory. */
  readonly baseDirectory?: string;
  /** `/dev/iommu` has its test interface (IOMMU_TEST_CMD). */
  readonly iommuTest?: boolean;
  /**
   * A device file does nothing before it is bound or authorized, as in Linux; otherwise all of VFIO works
   * from its open on.
   */
  readonly bindFirst?: boolean;
  /** PASIDs that one context may have. */
  readonly pasidQuota?: number;
  /** Mappings that one context may have. */
  readonly mappingQuota?: number;
}

/** What `ls` shows. Plain data: it can be made JSON of. */
export interface MachineSnapshot {
  readonly pasids: { readonly used: number };
  readonly contexts: readonly ContextSnapshot[];
  readonly devices: readonly DeviceSnapshot[];
  readonly memories: number;
  readonly mappings: number;
  readonly faults: { readonly total: number; readonly recent: readonly FaultRecord[] };
}

export interface ContextSnapshot {
  readonly id: number;
  readonly pid: number;
  readonly pasids: readonly PasidSnapshot[];
  /** PASIDs beyond those listed. */
  readonly more: number;
}

export interface PasidSnapshot {
  readonly pasid: number;
  readonly users: number;
  readonly mappings: readonly {
    iova: number;
    length: number;
    access: number;
    memory: string;
    offset: number;
  }[];
  /** Mappings beyond those listed. */
  readonly more: number;
}

export interface DeviceSnapshot {
  readonly name: string;
  /** The `--device` argument that made it. */
  readonly spec: string;
  readonly rid: string;
  readonly mdev: boolean;
  /** The process that has it open. */
  readonly pid: number | undefined;
  /** Without `context`: attached through an iommufd. */
  readonly authorizations: readonly { pasid: number; vpasid: number; context: number | undefined }[];
  readonly busy: boolean;
}

/** PASIDs and mappings that a snapshot lists, all contexts together: it is made between two requests. */
const LISTED = 10_000;
const ioctls: IoctlTable<VfioDevice> = new Map([...vfioIoctls, ...cdevIoctls, ...deviceTable]);

export class Machine {
  readonly iommu = new Iommu();
  readonly ioasid: IoasidSubsystem;
  readonly iommufd: IommufdSubsystem;
  /** The files, by their paths below /dev. */
  readonly nodes: readonly DeviceNode[];
  /** The VFIO groups, by rising number. */
  readonly groups: readonly VfioGroup[];
  readonly #devices: readonly { readonly device: VfioDevice; readonly spec: string }[];

  private constructor(
    options: MachineOptions,
    make: (iommu: Iommu, pasids: PasidSpace) => readonly { device: VfioDevice; spec: string }[],
  ) {
    this.ioasid = new IoasidSubsystem(this.iommu, options.pasidQuota, options.mappingQuota);
    this.iommufd = new IommufdSubsystem(this.iommu, options.mappingQuota);
    this.#devices = make(this.iommu, this.ioasid.pasids);
    this.groups = makeGroups(this.#devices.map(({ device }) => device));
    this.nodes = [
      ioasidNode(this.ioasid),
      containerNode(
        this.iommufd,
        'iommu',
        0,
        options.iommuTest ? new Map([...containerTable, ...iommuTestTable]) : containerTable,
      ),
      containerNode(this.iommufd, 'vfio/vfio', 1, containerTable),
      ...this.#devices.map(({ device }) => deviceNode(device, options.bindFirst ?? false)),
      ...this.groups.map(groupNode),
    ];
  }

  /** @throws Refusal when a device cannot be made: the reason says which argument is wrong. */
  static async create(options: MachineOptions): Promise<Machine> {
    const specs = options.devices.map((spec) => ({ spec, parsed: parseDeviceSpec(spec) }));
    const base = options.baseDirectory ?? process.cwd();
    const factories = await Promise.all(specs.map(({ parsed }) => loadDeviceFactory(parsed.name, base)));
    const rids = assignRids(specs.map(({ parsed }) => parsed.bdf));
    return new Machine(options, (iommu, pasids) => {
      const made: { device: VfioDevice; spec: string }[] = [];
      for (const [n, { spec, parsed }] of specs.entries()) {
        const request = {
          rid: rids[n]!,
          factory: factories[n]!,
          options: parsed.options,
          mdevs: parsed.mdevs,
          firstIndex: made.length,
        };
        const devices = makeDevices(iommu, pasids, request);
        made.push(...devices.map((device) => ({ device, spec })));
      }
      return made;
    });
  }

  /** The devices, in the order of their files. */
  get devices(): readonly VfioDevice[] {
    return this.#devices.map(({ device }) => device);
  }

  /** Lets every device do a slice of its queued work. @returns whether there is more. */
  step(): boolean {
    let more = false;
    for (const { device } of this.#devices) {
      if (!device.busy()) continue;
      if (device.step()) more ||= device.busy();
    }
    return more;
  }

  /** What there is, now. */
  snapshot(): MachineSnapshot {
    const room = { left: LISTED };
    return {
      pasids: { used: this.ioasid.pasids.used },
      contexts: [...this.ioasid.contexts()].map((context) => snapshotOf(context, room)),
      devices: this.#devices.map(({ device, spec }) => ({
        name: device.name,
        spec,
        rid: device.life.rid,
        mdev: device.life.mediated,
        pid: device.life.holder,
        authorizations: [...device.life.authorizations()].map(({ pasid, vpasid, context }) => ({
          pasid,
          vpasid,
          context: context?.id,
        })),
        busy: device.busy(),
      })),
      memories: this.iommu.memories.size,
      mappings: this.iommu.tables.slotCount,
      faults: {
        total: this.iommu.faults.total,
        recent: this.iommu.faults.since(this.iommu.faults.total - 20),
      },
    };
  }
}

/** A context as `ls` shows it; `room` is what may still be listed of all contexts together. */
function snapshotOf(context: IoasidContext, room: { left: number }): ContextSnapshot {
  const pasids: PasidSnapshot[] = [];
  for (const [pasid, space] of context.spaces()) {
    if (room.left === 0) break;
    const mappings = space.mappings(--room.left);
    room.left -= mappings.length;
    pasids.push({
      pasid,
      users: space.users,
      mappings: mappings.map((each) => ({
        ...each,
        iova: Number(each.iova),
        length: Number(each.length),
        offset: Number(each.offset),
      })),
      more: space.table.count - mappings.length,
    });
  }
  return { id: context.id, pid: context.pid, pasids, more: context.pasids - pasids.length };
}

function ioasidNode(ioasid: IoasidSubsystem): DeviceNode {
  return {
    path: 'ioasid',
    flushes: false,
    open: (caller) => {
      const context = ioasid.open(caller.pid);
      return new DeviceFile(context, contextTable, { release: () => context.close() });
    },
  };
}

/** A container is an iommufd: it differs in how memory is counted by default (`rlimitMode`). */
function containerNode(
  iommufd: IommufdSubsystem,
  path: string,
  rlimitMode: number,
  table: IoctlTable<IommufdContext>,
): DeviceNode {
  return {
    path,
    flushes: false,
    open: (caller) => {
      const context = iommufd.open(caller.pid, rlimitMode);
      return new DeviceFile(context, table, { release: () => context.close() });
    },
  };
}

function deviceNode(device: VfioDevice, bindFirst: boolean): DeviceNode {
  return {
    path: `vfio/devices/${device.name}`,
    flushes: true,
    open: (caller) => {
      device.life.open(caller.pid);
      return new DeviceFile(device, ioctls, {
        ...regionOperations(device),
        ...(bindFirst && { check: (key) => checkGranted(device, key) }),
        release: () => device.close(),
      });
    },
  };
}

/** A group for each function that is not cut, numbered as its file is, from 1 on. */
function makeGroups(devices: readonly VfioDevice[]): VfioGroup[] {
  return devices.flatMap((device, index) => (device.life.mediated ? [] : [new VfioGroup(index + 1, device)]));
}

function groupNode(group: VfioGroup): DeviceNode {
  return {
    path: `vfio/${group.number}`,
    flushes: false,
    open: (caller) => {
      group.open(caller.pid);
      return new DeviceFile(group, groupTable, { release: () => group.close() });
    },
  };
}

/** A requester id for each device: the one that its argument names, or the next free of bus 6a. */
function assignRids(wanted: readonly (string | undefined)[]): string[] {
  const taken = new Set<string>();
  for (const rid of wanted) {
    if (rid === undefined) continue;
    if (taken.has(rid)) refuse('EEXIST', `two devices ask for bdf=${rid}`);
    taken.add(rid);
  }
  let next = 0;
  return wanted.map((rid) => {
    if (rid !== undefined) return rid;
    for (;;) {
      const bdf = `0000:6a:${(++next & 31).toString(16).padStart(2, '0')}.${next >>> 5}`;
      if (next > 255) refuse('ENOSPC', 'bus 0000:6a has no room for another device');
      if (!taken.has(bdf)) return bdf;
    }
  });
}
