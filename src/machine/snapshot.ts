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

/** It can be made JSON of. */
export interface MachineSnapshot {
  readonly pasids: { readonly used: number };
  readonly contexts: readonly ContextSnapshot[];
  /** Contexts beyond those listed. */
  readonly more: number;
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
  readonly kind: SpaceKind;
  /** By name: the parent of a nested one, the process that one of kind process is. */
  readonly of: string | undefined;
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
  /** It is a vDPA device: a vpasid is an ASID. */
  readonly asids: boolean;
  /** Without `context`: attached through an iommufd, or mapped by IOTLB messages. */
  readonly authorizations: readonly { pasid: number; vpasid: number; context: number | undefined }[];
  /** Authorizations beyond those listed. */
  readonly more: number;
  readonly busy: boolean;
  /** What it has said last (DeviceHost.note). */
  readonly notes: readonly { readonly time: number; readonly sentence: string }[];
  /** What was refused last on its file: errno and reason. */
  readonly refused: { readonly error: string; readonly reason: string } | undefined;
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

/** Contexts, PASIDs, mappings and authorizations that a snapshot lists: 1 to 2 ms. */
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
