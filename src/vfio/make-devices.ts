/**
 * Makes the VFIO devices of one PCI function: the function itself or, when it is cut, its mediated devices in
 * its place.
 */
import { CalledModel } from '../devices/called-model.js';
import { checkInterrupt, checkIntx } from '../devices/checks.js';
import { Clock } from '../devices/clock.js';
import type { DeviceHost, DeviceModel, MdevSupport, PciDescription } from '../devices/device-model.js';
import { DeviceTimers, timeOf } from '../devices/device-timers.js';
import { ModelCalls } from '../devices/model-calls.js';
import { Outside } from '../devices/outside.js';
import { callFactory, naming } from '../devices/thrown.js';
import { Wires } from '../devices/wire.js';
import { MdevPort } from '../driver/mdev.js';
import { FunctionPort } from '../driver/pci-function.js';
import type { BusGate, PciPort } from '../driver/pci-port.js';
import type { PasidSpace } from '../ioasid/pasid-space.js';
import type { Iommu } from '../iommu/iommu.js';
import { deviceMemory } from '../linux/device-memory.js';
import { refuse } from '../linux/errno.js';
import { ConfigSpace } from './config-space.js';
import { VfioDevice } from './device.js';
import { Interrupts } from './interrupts.js';
import { type HostPlace, ModelHost } from './model-host.js';

/** What to make. */
export interface FunctionRequest {
  /** The requester id: `0000:6a:01.0`. */
  readonly rid: string;
  /** Makes the model. @throws Error when an option of it is wrong. */
  make(host: DeviceHost): DeviceModel;
  /** Whose failure is one of all its devices: their module's. */
  readonly calls?: ModelCalls;
  /** Mediated devices to cut the function into; 0 offers it whole. */
  readonly mdevs: number;
  /** The number N of the first device made, `vfioN`, whose group has the next number. */
  readonly firstIndex: number;
  /** It lies behind a port, on the bus where these do, which it joins; absent: on a root bus. */
  readonly bus?: VfioDevice[] | undefined;
  /** As of Bars. */
  readonly strict?: boolean;
  /** Where relative paths in options begin; absent: where the process is. */
  readonly baseDirectory?: string;
  /** What its timers go by; absent: one of their own, which stands still. */
  readonly clock?: Clock;
  /** What joins it to others; absent: none of them. */
  readonly wires?: Wires;
  /** Where its disks are from; absent: files. */
  readonly outside?: Outside;
}

/**
 * @returns one device, or `mdevs` of them. A function that is cut is not among them: it belongs to its own
 * driver, which is us.
 * @throws Refusal EEXIST when the requester id is taken; EINVAL when the function cannot be cut like that or
 * the model is none (checkModel).
 * @throws Error as `make`.
 */
export function makeDevices(iommu: Iommu, pasids: PasidSpace, request: FunctionRequest): VfioDevice[] {
  const { rid, make, mdevs, firstIndex, calls = new ModelCalls(rid) } = request;
  const { baseDirectory = process.cwd(), strict = false, clock = new Clock() } = request;
  const { wires = new Wires(), outside = new Outside(), bus } = request;
  const place = { baseDirectory, strict, clock, wires, outside, bus };
  const port = new FunctionPort(iommu, rid);
  if (mdevs === 0) return [assemble(calls.part(`vfio${firstIndex}`), port, make, place, firstIndex + 1)];
  const note = (sentence: string) => calls.note(sentence);
  const link = (wire?: string) => wires.link(wire);
  let pci: PciDescription | undefined;
  // Nobody has set up its interrupts.
  const interrupt = (vector: number) => checkInterrupt(pci, vector);
  const told = { interrupt, messages: false, intx: () => checkIntx(pci), note };
  const rest = { ...told, memory: deviceMemory, link, outside };
  const timers = new DeviceTimers(clock, calls);
  const parent = CalledModel.make(calls, () =>
    make({ baseDirectory, dma: port, ...rest, ...timeOf(timers, () => pci !== undefined) }),
  );
  pci = parent.pci;
  port.connect(pci, ALWAYS_OPEN);
  const { mdev, bits } = cuttable(parent, request);
  return Array.from({ length: mdevs }, (_, index) => {
    const name = `vfio${firstIndex + index}`;
    const mdevPort = new MdevPort(iommu, pasids, port.requester, name, bits);
    const create = (host: DeviceHost) => callFactory('mdev.create', () => mdev.create(index, host));
    return naming(`mdev ${index}`, () =>
      assemble(calls.part(name, true), mdevPort, create, place, firstIndex + index + 1),
    );
  });
}

/** The function's own driver keeps bus mastering on. */
const ALWAYS_OPEN: BusGate = { busMaster: true };

/** What it takes to cut `parent` as asked. @throws Refusal EINVAL when it has not got it. */
function cuttable(
  { mdev, pci }: CalledModel,
  { rid, mdevs }: FunctionRequest,
): { mdev: MdevSupport; bits: number } {
  if (mdev === undefined) refuse('EINVAL', `the device at ${rid} cannot be cut into mediated devices`);
  if (mdevs > mdev.max)
    refuse('EINVAL', `the device at ${rid} can be cut into ${mdev.max} mediated devices, not ${mdevs}`);
  const bits =
    pci.pasidBits ??
    refuse('EINVAL', `mediated devices need PASIDs, and the device at ${rid} has no PASID capability`);
  return { mdev, bits };
}

/** What all devices of a function have of the machine. */
type Place = HostPlace & Required<Pick<FunctionRequest, 'strict' | 'clock' | 'bus'>>;

/**
 * Puts one device together. While the model is being made it can neither do DMA nor interrupt nor wait: it
 * has no configuration space yet.
 */
function assemble(
  calls: ModelCalls,
  port: PciPort,
  make: (host: DeviceHost) => DeviceModel,
  place: Place,
  group: number,
): VfioDevice {
  const { strict, clock, bus } = place;
  const timers = new DeviceTimers(clock, calls);
  const host = new ModelHost(calls, port, timers, place);
  const model = CalledModel.make(calls, () => make(host), timers);
  const config = new ConfigSpace(model.pci, strict, bus !== undefined);
  const irqs = new Interrupts(model.pci, config);
  port.connect(model.pci, config);
  const device = new VfioDevice(port, model, config, irqs, { strict, group, bus });
  host.connect(model.pci, irqs, device);
  bus?.push(device);
  return device;
}
