/**
 * A snapshot of a machine: what `ls` shows of it, as plain data.
 *
 * It is made between two requests, so it is bounded: of more contexts, PASIDs, mappings and authorizations
 * than it lists it only tells how many there are. Devices are those of the command line, and listed all.
 */
import type { Driver } from '../driver/driver.js';
import { AddressSpace } from '../ioasid/address-space.js';
import type { IoasidContext } from '../ioasid/context.js';
import { NestedSpace } from '../ioasid/nested-space.js';
import { ProcessSpace } from '../ioasid/process-space.js';
import type { Space, SpaceKind } from '../ioasid/space.js';
import type { IoasidSubsystem } from '../ioasid/subsystem.js';
import type { FaultRecord } from '../iommu/fault-log.js';
import type { Iommu } from '../iommu/iommu.js';
import { errnoName, type Refusal } from '../linux/errno.js';
import type { Trace } from '../trace/trace.js';

/** What there is in a machine at a moment, as plain data: JSON can be made of it. */
export interface MachineSnapshot {
  /** PASIDs of the system. */
  readonly pasids: {
    /** How many are allocated. */
    readonly used: number;
  };
  /** Those of open `/dev/ioasid`s. */
  readonly contexts: readonly ContextSnapshot[];
  /** Contexts beyond those listed. */
  readonly more: number;
  /** All of them, in the order of their files. */
  readonly devices: readonly DeviceSnapshot[];
  /** Memories of processes and files that are mapped anywhere. */
  readonly memories: number;
  /** Mappings of all contexts. */
  readonly mappings: number;
  /** DMA that was refused. */
  readonly faults: {
    /** Since the beginning. */
    readonly total: number;
    /** The last ones, oldest first. */
    readonly recent: readonly FaultRecord[];
  };
}

/** An open `/dev/ioasid`. */
export interface ContextSnapshot {
  /** Counted from 1, over all that there were. */
  readonly id: number;
  /** The process that has opened it. */
  readonly pid: number;
  /** By rising number. */
  readonly pasids: readonly PasidSnapshot[];
  /** PASIDs beyond those listed. */
  readonly more: number;
}

/** An address space. */
export interface PasidSnapshot {
  /** Of the system. */
  readonly pasid: number;
  /** Mapped by ioctls, nested over another, or a process. */
  readonly kind: SpaceKind;
  /** By name: the parent of a nested one, the process that one of kind process is. */
  readonly of: string | undefined;
  /** Devices that are authorized for it, and PASIDs nested over it. */
  readonly users: number;
  /** By rising IOVA. */
  readonly mappings: readonly MappingSnapshot[];
  /** Mappings beyond those listed. */
  readonly more: number;
}

/** A mapping. Addresses and lengths in bytes. */
export interface MappingSnapshot {
  /** The first byte. */
  readonly iova: number;
  /** How long it is. */
  readonly length: number;
  /** Rights of devices: 1 to read, 2 to write. */
  readonly access: number;
  /** The process or file, by name. */
  readonly memory: string;
  /** Where it begins there. */
  readonly offset: number;
}

/** A device and who has it. */
export interface DeviceSnapshot {
  /** Of its file. */
  readonly name: string;
  /** The `--device` argument that made it. */
  readonly spec: string;
  /** Its requester id: `0000:6a:01.0`. */
  readonly rid: string;
  /** It is a mediated device. */
  readonly mdev: boolean;
  /** The process that has it open. */
  readonly pid: number | undefined;
  /** It is a vDPA device: a vpasid is an ASID. */
  readonly asids: boolean;
  /** In the order in which they came. */
  readonly authorizations: readonly AuthorizationSnapshot[];
  /** Authorizations beyond those listed. */
  readonly more: number;
  /** It has work that may still do DMA. */
  readonly busy: boolean;
  /** What it has said last (DeviceHost.note). */
  readonly notes: readonly NoteSnapshot[];
  /** What was refused last on its file. */
  readonly refused: RefusalSnapshot | undefined;
}

/** An address space that a device may use. */
export interface AuthorizationSnapshot {
  /** Of the system. */
  readonly pasid: number;
  /** What the device's programmer calls it. */
  readonly vpasid: number;
  /** Its `/dev/ioasid`. Undefined: attached through an iommufd, or mapped by IOTLB messages. */
  readonly context: number | undefined;
}

/** What a device has said. */
export interface NoteSnapshot {
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** As the model has given it. */
  readonly sentence: string;
}

/** A call that was refused. */
export interface RefusalSnapshot {
  /** The errno, by name. */
  readonly error: string;
  /** Why. */
  readonly reason: string;
}

/** What a snapshot is made of. */
export interface Inventory {
  readonly iommu: Iommu;
  readonly ioasid: IoasidSubsystem;
  readonly devices: readonly MachineDevice[];
  readonly trace: Trace;
}

/** A device, and the `--device` argument that made it. */
export interface MachineDevice {
  readonly driver: Driver;
  readonly spec: string;
}

/** Contexts, PASIDs, mappings and authorizations that a snapshot lists: 2 to 5 ms with its JSON. */
const LISTED = 2_000;
/** Faults that it lists. */
const RECENT = 20;
/** Notes of each device that it lists. */
const NOTES = 3;

/** What may still be listed. */
class Room {
  left: number;

  constructor(listed: number) {
    this.left = listed;
  }

  /** As many of `all` as there is room for. */
  *first<T>(all: Iterable<T>): Generator<T> {
    for (const each of all) {
      if (this.left === 0) return;
      this.left--;
      yield each;
    }
  }
}

/** What there is, now; `listed` things of it one by one. */
export function snapshotOf({ iommu, ioasid, devices, trace }: Inventory, listed = LISTED): MachineSnapshot {
  const room = new Room(listed);
  const living = ioasid.contexts();
  const contexts = [...room.first(living)].map((context) => contextSnapshot(context, room));
  return {
    pasids: { used: ioasid.pasids.used },
    contexts,
    more: living.size - contexts.length,
    devices: devices.map((device) => deviceSnapshot(device, room, trace.lastRefusal(device.driver))),
    memories: iommu.memories.size,
    mappings: iommu.tables.slotCount,
    faults: { total: iommu.faults.total, recent: iommu.faults.since(iommu.faults.total - RECENT) },
  };
}

function deviceSnapshot({ driver, spec }: MachineDevice, room: Room, refusal?: Refusal): DeviceSnapshot {
  const { life } = driver;
  const { notes } = life.work.calls;
  const authorizations = [...room.first(life.authorizations())];
  return {
    name: life.name,
    spec,
    rid: life.rid,
    mdev: life.mediated,
    asids: driver.hasAsids,
    pid: life.holder,
    authorizations: authorizations.map(({ pasid, vpasid, context }) => ({
      pasid,
      vpasid,
      context: context?.id,
    })),
    more: life.authorized - authorizations.length,
    busy: driver.busy(),
    notes: notes.since(notes.total - NOTES),
    refused: refusal && { error: errnoName(refusal.errno), reason: refusal.reason },
  };
}

function contextSnapshot(context: IoasidContext, room: Room): ContextSnapshot {
  const pasids: PasidSnapshot[] = [];
  for (const [pasid, space] of room.first(context.spaces())) {
    const mappings = space instanceof AddressSpace ? space.mappings(room.left) : [];
    room.left -= mappings.length;
    pasids.push({
      pasid,
      kind: space.kind,
      of: nameOf(space),
      users: space.users,
      mappings: mappings.map((each) => ({
        ...each,
        iova: Number(each.iova),
        length: Number(each.length),
        offset: Number(each.offset),
      })),
      more: space instanceof AddressSpace ? space.table.count - mappings.length : 0,
    });
  }
  return { id: context.id, pid: context.pid, pasids, more: context.pasids - pasids.length };
}

function nameOf(space: Space): string | undefined {
  if (space instanceof NestedSpace) return space.parent.name;
  return space instanceof ProcessSpace ? space.memory : undefined;
}
