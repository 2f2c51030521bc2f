/**
 * The files of a machine: for each, which object an open stands for, and which ioctls it has.
 */

import type { DeviceNode } from '../file/device-node.js';
import * as numbers from '../file/device-numbers.js';
import {
  type Caller,
  type EventStream,
  type FileCall,
  type Mapping,
  READABLE,
  WRITABLE,
} from '../file/open-file.js';
import type { WqClient } from '../idxd/client.js';
import type { IdxdDevice } from '../idxd/device.js';
import type { IdxdWq } from '../idxd/wq.js';
import type { IoasidSubsystem } from '../ioasid/subsystem.js';
import type { IommufdContext } from '../iommufd/context.js';
import type { IommufdSubsystem } from '../iommufd/subsystem.js';
import type { Account } from '../linux/account.js';
import { refuse } from '../linux/errno.js';
import { openUnbound } from '../uapi/bind-first.js';
import { DeviceFile } from '../uapi/device-file.js';
import { wqOperations } from '../uapi/idxd-file.js';
import { contextTable, deviceTable } from '../uapi/ioasid.js';
import { contextOperations } from '../uapi/ioasid-faults.js';
import type { IoctlTable } from '../uapi/ioctl.js';
import { iommuTestTable } from '../uapi/iommu-test.js';
import { checkReady, type1Table } from '../uapi/type1-container.js';
import { REGIONS_END, regionOperations, vfioIoctls } from '../uapi/vfio.js';
import { unknownIoctls } from '../uapi/vfio-call.js';
import { cdevIoctls } from '../uapi/vfio-cdev.js';
import { compatTable } from '../uapi/vfio-compat.js';
import { groupTable } from '../uapi/vfio-group.js';
import { vhostIoctls } from '../uapi/vhost.js';
import { MessageStruct, writeMessage } from '../uapi/vhost-iotlb.js';
import type { VdpaDevice } from '../vdpa/device.js';
import type { VfioDevice } from '../vfio/device.js';
import type { VfioGroup } from '../vfio/group.js';
import type { Type1Container } from '../vfio/type1-container.js';
import type { ContainerKind } from './container-kinds.js';

/** What the files stand for. */
export interface MachineObjects {
  readonly ioasid: IoasidSubsystem;
  readonly iommufd: IommufdSubsystem;
  /** Makes what an open of `/dev/vfio/vfio` stands for. */
  readonly newContainer: (payer?: Account) => Type1Container;
  readonly vdpa: readonly VdpaDevice[];
  readonly groups: readonly VfioGroup[];
  readonly idxd: readonly IdxdDevice[];
}

export interface NodeOptions {
  /** `/dev/iommu` has its test interface (IOMMU_TEST_CMD). */
  readonly iommuTest?: boolean;
  /**
   * A device file does nothing before it is bound or authorized, as in Linux; otherwise all of VFIO works
   * from its open on.
   */
  readonly bindFirst?: boolean;
  /**
   * All that hardware and Linux do and this does more kindly otherwise (docs/differences.md), `bindFirst`
   * among it.
   */
  readonly strict?: boolean;
  /**
   * What `/dev/vfio/vfio` is: real type1, which is the default, or an iommufd that stands in for it.
   */
  readonly container?: ContainerKind;
}

const deviceIoctls: IoctlTable<VfioDevice> = new Map([...vfioIoctls, ...cdevIoctls, ...deviceTable]);
const noIoctls: IoctlTable<WqClient> = new Map();
const testedTable = new Map([...compatTable, ...iommuTestTable]);

export function nodesOf(
  { ioasid, iommufd, newContainer, vdpa, groups, idxd }: MachineObjects,
  { iommuTest = false, strict = false, bindFirst = false, container = 'type1' }: NodeOptions,
): DeviceNode[] {
  return [
    ioasidNode(ioasid),
    iommufdNode(iommufd, 'iommu', numbers.IOMMU, 0, iommuTest ? testedTable : compatTable),
    container === 'iommufd'
      ? iommufdNode(iommufd, 'vfio/vfio', numbers.VFIO_CONTAINER, 1, compatTable)
      : type1Node(newContainer),
    ...groups.map(({ device }, minor) => deviceNode(device, minor, bindFirst || strict)),
    ...groups.map(groupNode),
    ...vdpa.map(vdpaNode),
    ...idxd.flatMap((device) => device.wqs.map((wq) => wqNode(device, wq))),
  ];
}

function ioasidNode(ioasid: IoasidSubsystem): DeviceNode {
  return {
    path: 'ioasid',
    number: () => numbers.IOASID,
    flushes: false,
    stream: true,
    open: (caller) => {
      const context = ioasid.open(caller.pid, caller.payer);
      return new DeviceFile(context, contextTable, contextOperations(context));
    },
  };
}

/** Linux looks for what is at the offset first. */
const nothingMapped: Mapping = {
  pages: () => [],
  memory: nothingAt,
  read: () => 0,
  write: () => 0,
  check: (_caller, offset) => nothingAt(offset),
  write64: () => false,
};

function nothingAt(offset: number): never {
  refuse('ENXIO', `there is nothing to map at offset ${offset} of an iommufd`);
}

/** As a container it differs in how memory is counted by default (`rlimitMode`). */
function iommufdNode(
  iommufd: IommufdSubsystem,
  path: string,
  number: number,
  rlimitMode: number,
  table: IoctlTable<IommufdContext>,
): DeviceNode {
  return {
    path,
    number: () => number,
    flushes: false,
    open: (caller) => {
      const context = iommufd.open(caller.pid, rlimitMode, caller.payer);
      return new DeviceFile(context, table, { mapping: nothingMapped, release: () => context.close() });
    },
  };
}

function type1Node(newContainer: MachineObjects['newContainer']): DeviceNode {
  return {
    path: 'vfio/vfio',
    number: () => numbers.VFIO_CONTAINER,
    flushes: false,
    open: (caller) => {
      const container = newContainer(caller.payer);
      return new DeviceFile(container, type1Table, {
        check: (cmd) => checkReady(container, cmd),
        // What it has goes with its groups.
        release: () => {},
      });
    },
  };
}

function deviceNode(device: VfioDevice, minor: number, bindFirst: boolean): DeviceNode {
  return {
    path: `vfio/devices/${device.name}`,
    present: () => !device.life.withdrawn,
    number: () => numbers.vfioDevice(minor),
    flushes: true,
    extent: REGIONS_END,
    uses: () => [device],
    open: (caller) => {
      if (bindFirst) return openUnbound(device, deviceIoctls);
      device.life.open(caller.pid);
      const operations = { ...regionOperations(device), release: () => device.close() };
      return new DeviceFile(device, deviceIoctls, operations, unknownIoctls);
    },
  };
}

/** A file without offsets that is always ready for both. */
const alwaysReady: EventStream = { ready: () => READABLE | WRITABLE, arrivals: () => 0 };

function vdpaNode(device: VdpaDevice, minor: number): DeviceNode {
  const operations = {
    stream: alwaysReady,
    writes: MessageStruct,
    uses: (call: FileCall) => device.uses(call),
    write: (_offset: number, source: Uint8Array, caller: Caller) => writeMessage(device, caller, source),
    flush: () => device.flush(),
    release: () => device.close(),
  };
  return {
    path: device.life.name,
    number: () => numbers.vhostVdpa(minor),
    flushes: true,
    stream: true,
    uses: () => [device],
    open: (caller) => {
      device.life.open(caller.pid);
      return new DeviceFile(device, deviceTable, operations, vhostIoctls);
    },
  };
}

/** It is there while its work queue is enabled. */
function wqNode(device: IdxdDevice, wq: IdxdWq): DeviceNode {
  return {
    path: `dsa/${wq.path}`,
    number: () => numbers.workQueue(wq.minor ?? 0),
    flushes: true,
    present: () => wq.enabled,
    uses: () => [device],
    open: (caller) => {
      const client = device.open(wq, caller);
      return new DeviceFile(client, noIoctls, wqOperations(device, client));
    },
  };
}

function groupNode(group: VfioGroup, minor: number): DeviceNode {
  return {
    path: `vfio/${group.number}`,
    present: () => group.registered,
    number: () => numbers.vfioGroup(minor),
    flushes: false,
    uses: () => group.uses(),
    open: (caller) => {
      group.open(caller.pid);
      return new DeviceFile(group, groupTable, { uses: () => group.uses(), release: () => group.close() });
    },
  };
}
