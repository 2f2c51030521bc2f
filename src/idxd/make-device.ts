/** Makes the idxd device of one DSA, in place of a VFIO device: Linux keeps the function for its driver. */
import { CalledModel } from '../devices/called-model.js';
import { checkInterrupt, checkIntx } from '../devices/checks.js';
import type { Clock } from '../devices/clock.js';
import type { DeviceHost, DeviceModel, PciDescription } from '../devices/device-model.js';
import { DeviceTimers, timeOf } from '../devices/device-timers.js';
import type { ModelCalls } from '../devices/model-calls.js';
import type { Outside } from '../devices/outside.js';
import type { Wires } from '../devices/wire.js';
import { FunctionPort } from '../driver/pci-function.js';
import type { IoasidSubsystem } from '../ioasid/subsystem.js';
import { deviceMemory } from '../linux/device-memory.js';
import { hex, refuse } from '../linux/errno.js';
import { IdxdDevice, type IdxdRequest } from './device.js';

/** The one function that the driver is for here: DSA 1.0. */
const INTEL = 0x8086;
const DSA = 0x0b25;

/** What to make. */
export interface MakeRequest extends Pick<IdxdRequest, 'id' | 'numbers' | 'userSubmissionSafe'> {
  /** The requester id: `0000:6a:01.0`. */
  readonly rid: string;
  /** Makes the model. @throws Error when an option of it is wrong. */
  make(host: DeviceHost): DeviceModel;
  /** Whose failure is one of the device: its module's. */
  readonly calls: ModelCalls;
  readonly baseDirectory: string;
  readonly clock: Clock;
  readonly wires: Wires;
  readonly outside: Outside;
}

/**
 * A device that its driver has. @throws Refusal EEXIST the requester id is taken; EINVAL the model is none
 * (checkModel), or not a DSA. @throws Error as `make`.
 */
export function makeIdxdDevice(ioasid: IoasidSubsystem, request: MakeRequest): IdxdDevice {
  const { rid, id, numbers, userSubmissionSafe, baseDirectory, wires, outside } = request;
  const calls = request.calls.part(`dsa${id}`);
  const timers = new DeviceTimers(request.clock, calls);
  const port = new FunctionPort(ioasid.iommu, rid);
  let device: IdxdDevice | undefined;
  let pci: PciDescription | undefined;
  const host: DeviceHost = {
    baseDirectory,
    dma: port,
    memory: deviceMemory,
    ...timeOf(timers, () => device !== undefined),
    link: (name) => wires.link(name),
    outside,
    interrupt(vector) {
      checkInterrupt(pci, vector);
      device?.interrupt(vector);
    },
    messages: true,
    intx: () => checkIntx(pci),
    note: (sentence) => calls.note(sentence),
  };
  const model = CalledModel.make(calls, () => request.make(host), timers);
  pci = model.pci;
  const { vendorId, deviceId } = pci;
  if (vendorId !== INTEL || deviceId !== DSA)
    refuse('EINVAL', `the driver idxd is for a DSA (8086:0b25), not for ${hex(vendorId)}:${hex(deviceId)}`);
  port.connect(model.pci, ALWAYS_OPEN);
  device = new IdxdDevice({ id, port, model, ioasid, numbers, userSubmissionSafe });
  return device;
}

/** The driver keeps bus mastering on. */
const ALWAYS_OPEN = { busMaster: true };
