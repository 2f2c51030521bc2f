/**
 * A snapshot of a machine: what `ls` shows of it, as plain data.
 *
 * It is made between two requests, so it is bounded: of more PASIDs and mappings than it lists it only tells
 * how many there are.
 */
import type { Driver } from '../driver/driver.js';
import type { IoasidContext } from '../ioasid/context.js';
import type { IoasidSubsystem } from '../ioasid/subsystem.js';
import type { FaultRecord } from '../iommu/fault-log.js';
import type { Iommu } from '../iommu/iommu.js';

/** It can be made JSON of. */
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
  /** It is a vDPA device: a vpasid is an ASID. */
  readonly asids: boolean;
  /** Without `context`: attached through an iommufd, or mapped by IOTLB messages. */
  readonly authorizations: readonly { pasid: number; vpasid: number; context: number | undefined }[];
  readonly busy: boolean;
}

/** What a snapshot is made of. */
export interface Inventory {
  readonly iommu: Iommu;
  readonly ioasid: IoasidSubsystem;
  readonly devices: readonly MachineDevice[];
}

/** A device, and the `--device` argument that made it. */
export interface MachineDevice {
  readonly driver: Driver;
  readonly spec: string;
}

/** PASIDs and mappings that a snapshot lists, all contexts together. */
const LISTED = 10_000;
/** Faults that it lists. */
const RECENT = 20;

/** What there is, now. */
export function snapshotOf({ iommu, ioasid, devices }: Inventory): MachineSnapshot {
  const room = { left: LISTED };
  return {
    pasids: { used: ioasid.pasids.used },
    contexts: [...ioasid.contexts()].map((context) => contextSnapshot(context, room)),
    devices: devices.map(deviceSnapshot),
    memories: iommu.memories.size,
    mappings: iommu.tables.slotCount,
    faults: { total: iommu.faults.total, recent: iommu.faults.since(iommu.faults.total - RECENT) },
  };
}

function deviceSnapshot({ driver, spec }: MachineDevice): DeviceSnapshot {
  const { life } = driver;
  return {
    name: life.name,
    spec,
    rid: life.rid,
    mdev: life.mediated,
    asids: driver.hasAsids,
    pid: life.holder,
    authorizations: [...life.authorizations()].map(({ pasid, vpasid, context }) => ({
      pasid,
      vpasid,
      context: context?.id,
    })),
    busy: driver.busy(),
  };
}

/** A context as `ls` shows it; `room` is what may still be listed of all contexts together. */
function contextSnapshot(context: IoasidContext, room: { left: number }): ContextSnapshot {
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
