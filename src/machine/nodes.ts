/**
 * The files of a machine: for each, what it is called, its number, and what an open of it stands for
 * (open-*.ts, one file for each kind, with its ioctls). Nothing of those files is needed before a program
 * opens one, so all that this file does with them is to call them: what people run loads each at its first
 * call (scripts/bundle.js).
 */
import type { DeviceNode } from '../file/device-node.js';
import * as numbers from '../file/device-numbers.js';
import type { IdxdDevice } from '../idxd/device.js';
import type { IdxdWq } from '../idxd/wq.js';
import type { IoasidSubsystem } from '../ioasid/subsystem.js';
import type { Iommu } from '../iommu/iommu.js';
import type { IommufdSubsystem } from '../iommufd/subsystem.js';
import { REGIONS_END } from '../uapi/vfio-call.js';
import type { VdpaDevice } from '../vdpa/device.js';
import type { IotlbLimits } from '../vdpa/iotlb.js';
import type { VfioDevice } from '../vfio/device.js';
import type { VfioGroup } from '../vfio/group.js';
import type { ContainerKind } from './container-kinds.js';
import { openIoasid } from './open-ioasid.js';
import { openTested } from './open-iommu-test.js';
import { openIommufd } from './open-iommufd.js';
import { openType1 } from './open-type1.js';
import { openVdpa } from './open-vdpa.js';
import { openDevice, openGroup } from './open-vfio.js';
import { openWq } from './open-wq.js';

/** What the files stand for. */
export interface MachineObjects {
  readonly ioasid: IoasidSubsystem;
  readonly iommufd: IommufdSubsystem;
  readonly iommu: Iommu;
  /** Of a container of type1. */
  readonly limits: IotlbLimits;
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

export function nodesOf(
  { ioasid, iommufd, iommu, limits, vdpa, groups, idxd }: MachineObjects,
  { iommuTest = false, strict = false, bindFirst = false, container = 'type1' }: NodeOptions,
): DeviceNode[] {
  return [
    ioasidNode(ioasid),
    iommuTest ? testedNode(iommufd) : iommufdNode(iommufd, 'iommu', numbers.IOMMU, 0),
    container === 'iommufd'
      ? iommufdNode(iommufd, 'vfio/vfio', numbers.VFIO_CONTAINER, 1)
      : type1Node(iommu, limits),
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
    open: (caller) => openIoasid(ioasid, caller),
  };
}

/** As a container it differs in how memory is counted by default (`rlimitMode`). */
function iommufdNode(
  iommufd: IommufdSubsystem,
  path: string,
  number: number,
  rlimitMode: number,
): DeviceNode {
  return {
    path,
    number: () => number,
    flushes: false,
    open: (caller) => openIommufd(iommufd, rlimitMode, caller),
  };
}

function testedNode(iommufd: IommufdSubsystem): DeviceNode {
  return {
    path: 'iommu',
    number: () => numbers.IOMMU,
    flushes: false,
    open: (caller) => openTested(iommufd, 0, caller),
  };
}

function type1Node(iommu: Iommu, limits: IotlbLimits): DeviceNode {
  return {
    path: 'vfio/vfio',
    number: () => numbers.VFIO_CONTAINER,
    flushes: false,
    open: (caller) => openType1(iommu, limits, caller),
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
    open: (caller) => openDevice(device, bindFirst, caller),
  };
}

function groupNode(group: VfioGroup, minor: number): DeviceNode {
  return {
    path: `vfio/${group.number}`,
    present: () => group.registered,
    number: () => numbers.vfioGroup(minor),
    flushes: false,
    uses: () => group.uses(),
    open: (caller) => openGroup(group, caller),
  };
}

function vdpaNode(device: VdpaDevice, minor: number): DeviceNode {
  return {
    path: device.life.name,
    number: () => numbers.vhostVdpa(minor),
    flushes: true,
    stream: true,
    uses: () => [device],
    open: (caller) => openVdpa(device, caller),
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
    open: (caller) => openWq(device, wq, caller),
  };
}
