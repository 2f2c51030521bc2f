/** The ABI of a VFIO group file, and of the device files that are opened through it. */
import type { Caller, IoctlCall } from '../file/open-file.js';
import { type Work, workOf } from '../file/work.js';
import { IommufdContext } from '../iommufd/context.js';
import { Errno, hex, Refusal, refuse } from '../linux/errno.js';
import type { Container } from '../vfio/container.js';
import type { VfioDevice } from '../vfio/device.js';
import type { VfioGroup } from '../vfio/group.js';
import { IommufdContainer } from '../vfio/iommufd-container.js';
import { Type1Container } from '../vfio/type1-container.js';
import { DeviceFile } from './device-file.js';
import type { IoctlTable } from './ioctl.js';
import { getS32, setU32 } from './struct.js';
import { regionOperations, vfioIoctls } from './vfio.js';
import { exactTable, readStruct, unknownIoctls, wakingTable } from './vfio-call.js';
import { BindStruct, readBind, VFIO_DEVICE_BIND_IOMMUFD } from './vfio-cdev.js';
import {
  ContainerFdStruct,
  GROUP_CONTAINER_SET,
  GROUP_VIABLE,
  GroupStatusStruct,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_GROUP_UNSET_CONTAINER,
} from './vfio-container.js';
import {
  HotResetStruct,
  hotResetByGroup,
  hotResetInfoByGroup,
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  VFIO_DEVICE_PCI_HOT_RESET,
} from './vfio-hot-reset.js';

/** A device's name and its end are looked for in so many bytes. */
const NAME_BYTES = 4096;

/** The ioctls of a group file. */
export const groupTable: IoctlTable<VfioGroup> = exactTable<VfioGroup>({
  VFIO_GROUP_GET_STATUS: [VFIO_GROUP_GET_STATUS, GroupStatusStruct, getStatus],
  VFIO_GROUP_SET_CONTAINER: [VFIO_GROUP_SET_CONTAINER, ContainerFdStruct, setContainer],
  VFIO_GROUP_UNSET_CONTAINER: [VFIO_GROUP_UNSET_CONTAINER, undefined, unsetContainer],
  VFIO_GROUP_GET_DEVICE_FD: [VFIO_GROUP_GET_DEVICE_FD, 'string', getDeviceFd],
});

/** The ioctls of a device file that was opened through a group: attaching is the group's business. */
export const groupedIoctls: IoctlTable<VfioDevice> = new Map([
  ...vfioIoctls,
  ...exactTable<VfioDevice>({
    VFIO_DEVICE_BIND_IOMMUFD: [VFIO_DEVICE_BIND_IOMMUFD, BindStruct, bindGrouped],
  }),
  ...wakingTable({
    VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: [
      VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
      HotResetStruct,
      hotResetInfoByGroup,
    ],
    VFIO_DEVICE_PCI_HOT_RESET: [VFIO_DEVICE_PCI_HOT_RESET, HotResetStruct, hotResetByGroup],
  }),
]);

function getStatus(group: VfioGroup, caller: Caller, call: IoctlCall): number {
  const { at, size } = GroupStatusStruct;
  const data = readStruct(caller, call, size);
  setU32(
    data,
    at.flags,
    (group.viable ? GROUP_VIABLE : 0) | (group.container === undefined ? 0 : GROUP_CONTAINER_SET),
  );
  caller.writeMemory(call.arg, data);
  return 0;
}

/** Both descriptors are presented: the group's, and that of a container. */
function setContainer(group: VfioGroup, caller: Caller, call: IoctlCall): number {
  const data = new Uint8Array(4);
  caller.readMemory(call.arg, data);
  group.setContainer(presentedContainer(group, caller, getS32(data, 0)));
  return 0;
}

/**
 * The container behind the caller's descriptor, of either kind. A group that has one takes no other file,
 * whatever it is.
 * @throws Refusal EBADF no such descriptor; EINVAL the group has a container; EBADFD it is none.
 */
function presentedContainer(group: VfioGroup, caller: Caller, fd: number): Container {
  let object: object | undefined;
  try {
    object = caller.presented(fd);
  } catch (error) {
    if (!(error instanceof Refusal) || error.errno === Errno.EBADF) throw error;
  }
  group.checkFree();
  if (object instanceof Type1Container) return object;
  if (object instanceof IommufdContext) return new IommufdContainer(object);
  return refuse('EBADFD', `descriptor ${fd} is neither /dev/vfio/vfio nor /dev/iommu`);
}

function* unsetContainer(group: VfioGroup): Work<number> {
  yield* group.unsetContainer();
  return 0;
}

/** A new descriptor for the device whose name stands at the argument's address. */
function* getDeviceFd(group: VfioGroup, caller: Caller, call: IoctlCall): Work<number> {
  group.find(readName(caller, call.arg));
  const release = yield* group.openDevice(caller.pid);
  const operations = { ...regionOperations(group.device), called: group.device.name, release };
  return yield* workOf(
    caller.install(new DeviceFile(group.device, groupedIoctls, operations, unknownIoctls)),
  );
}

/** A NUL-terminated string of at most a page. */
function readName(caller: Caller, address: number): string {
  const name: number[] = [];
  for (let at = address; name.length < NAME_BYTES; ) {
    const part = new Uint8Array(Math.min(NAME_BYTES - (at % NAME_BYTES), NAME_BYTES - name.length));
    caller.readMemory(at, part);
    const end = part.indexOf(0);
    name.push(...part.subarray(0, end < 0 ? part.length : end));
    if (end >= 0) return Buffer.from(name).toString('latin1');
    at += part.length;
  }
  return refuse('EINVAL', `the name at ${hex(address)} does not end within ${NAME_BYTES} bytes`);
}

function bindGrouped(device: VfioDevice, caller: Caller, call: IoctlCall): number {
  readBind(caller, call);
  return refuse('EINVAL', `${device.name} was opened through its group, which has bound it already`);
}
