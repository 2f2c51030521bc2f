/**
 * Two designs over one IOMMU, as the same few calls: who holds a VM has its devices opened, its PASIDs
 * allocated, and devices authorized for them.
 *
 * Each device is mediated and idle, so that what is compared is the designs alone. In ours a VM is an ioasid
 * context; in the rejected one it is a token (listening-driver.ts).
 */
import type { PciDescription } from '../../devices/device-model.js';
import { ModelCalls } from '../../devices/model-calls.js';
import { DeviceLife } from '../../driver/device-life.js';
import { DeviceWork, type WorkingDevice } from '../../driver/device-work.js';
import { MdevPort } from '../../driver/mdev.js';
import { finish, finished } from '../../file/work.js';
import type { IoasidContext } from '../../ioasid/context.js';
import { PasidSpace } from '../../ioasid/pasid-space.js';
import { IoasidSubsystem } from '../../ioasid/subsystem.js';
import { Iommu, READ, type Requester, WRITE } from '../../iommu/iommu.js';
import { BufferMemory } from '../../iommu/memory.js';
import type { Pasid } from '../../iommu/pasid.js';
import { PASID_BITS } from '../../iommu/pasid.js';
import { refuse } from '../../linux/errno.js';
import { IoasidSets, type Token } from './ioasid-sets.js';
import { ListeningDriver } from './listening-driver.js';

/** VMs and devices are numbers from 0 on. Each call throws a Refusal, and then has changed nothing. */
export interface Design {
  open(vm: number, device: number): void;
  close(device: number): void;
  alloc(vm: number): Pasid;
  /** Maps `bytes` at IOVA 0. */
  map(vm: number, pasid: Pasid, bytes: Uint8Array): void;
  free(vm: number, pasid: Pasid): void;
  /** VM `vm` lets `device`, which it has open, use `pasid`. */
  authorize(vm: number, device: number, pasid: Pasid): void;
  revoke(device: number, pasid: Pasid): void;
  /** The device is made to write at IOVA 0 of `pasid`. @returns whether it could. */
  writes(device: number, pasid: Pasid): boolean;
}

export type DesignMaker = (devices: number, siblings: number) => Design;

const pci: PciDescription = {
  vendorId: 0x1234,
  deviceId: 1,
  classCode: 0x088000,
  bars: [{ index: 0, size: 4096 }],
  pasidBits: PASID_BITS,
};
const data = Uint8Array.of(1);
const idle: WorkingDevice = {
  calls: new ModelCalls('idle'),
  step: () => false,
  busy: () => false,
  drainSome: () => false,
  reset: () => {},
};

/** The requester ids of `devices`, of which `siblings` at a time share one. */
function requesters(iommu: Iommu, devices: number, siblings: number): Requester[] {
  const parents = Array.from({ length: Math.ceil(devices / siblings) }, (_, n) =>
    iommu.requester(`parent ${n}`),
  );
  return Array.from({ length: devices }, (_, n) => parents[Math.floor(n / siblings)]!);
}

export class FdCentric implements Design {
  readonly #system: IoasidSubsystem;
  readonly #contexts = new Map<number, IoasidContext>();
  readonly #devices: readonly { readonly life: DeviceLife; readonly port: MdevPort }[];

  /** As DesignMaker: `devices`, of which `siblings` at a time share a requester id. */
  constructor(devices: number, siblings: number) {
    const iommu = new Iommu();
    this.#system = new IoasidSubsystem(iommu);
    this.#devices = requesters(iommu, devices, siblings).map((requester, n) => {
      const port = new MdevPort(iommu, this.#system.pasids, requester, `vfio${n}`, PASID_BITS);
      port.connect(pci, { busMaster: true });
      return { port, life: new DeviceLife(`vfio${n}`, port, idle) };
    });
  }

  open(_vm: number, device: number): void {
    this.#devices[device]!.life.open(1);
  }

  close(device: number): void {
    const { life } = this.#devices[device]!;
    finish(life.work.stop());
    finish(life.close());
  }

  alloc(vm: number): Pasid {
    return this.#context(vm).alloc(0, 0);
  }

  map(vm: number, pasid: Pasid, bytes: Uint8Array): void {
    const request = { pasid, length: BigInt(bytes.length), access: READ | WRITE, iova: 0n } as const;
    const iova = finished(this.#context(vm).place(request, 0n));
    this.#context(vm).map(request, iova, { memory: new BufferMemory(bytes), offset: 0 });
  }

  free(vm: number, pasid: Pasid): void {
    finish(this.#context(vm).free(pasid));
  }

  authorize(vm: number, device: number, pasid: Pasid): void {
    this.#devices[device]!.life.authorize(this.#context(vm), pasid);
  }

  revoke(device: number, pasid: Pasid): void {
    finish(this.#devices[device]!.life.revoke(pasid));
  }

  writes(device: number, pasid: Pasid): boolean {
    return this.#devices[device]!.port.write(this.#vpasid(pasid), 0, data) === undefined;
  }

  /** What the program writes into the device, when it has asked for no other number. */
  #vpasid(pasid: Pasid) {
    return this.#devices[0]!.port.vpasid(pasid, undefined);
  }

  #context(vm: number): IoasidContext {
    let context = this.#contexts.get(vm);
    if (context === undefined) {
      context = this.#system.open(vm);
      this.#contexts.set(vm, context);
    }
    return context;
  }
}

/** How the rejected design is built. */
export interface Variant {
  /** What stands for VM `vm`: VMs with one token are one to the system. */
  readonly tokenOf: (vm: number) => number;
  /** Do BIND and UNBIND say for which device? */
  readonly named: boolean;
}

/** As it was posted: the mm is the token, here of processes with two VMs each; events name no device. */
export const posted: Variant = { tokenOf: (vm) => vm >> 1, named: false };
/** With what we found wrong put right: a token for each VM, and events that name their device. */
export const mended: Variant = { tokenOf: (vm) => vm, named: true };

export class SetsAndNotifiers implements Design {
  readonly #sets: IoasidSets;
  readonly #tokens = new Map<number, Token>();
  readonly #tokenOf: Variant['tokenOf'];
  readonly #devices: readonly ListeningDriver[];
  readonly #holders = new Map<number, number>();

  constructor({ tokenOf, named }: Variant, devices: number, siblings: number) {
    const iommu = new Iommu();
    this.#tokenOf = tokenOf;
    this.#sets = new IoasidSets(iommu, new PasidSpace());
    this.#devices = requesters(iommu, devices, siblings).map(
      (requester) => new ListeningDriver(this.#sets, requester, new DeviceWork(idle), named),
    );
  }

  open(vm: number, device: number): void {
    this.#devices[device]!.open(this.#token(vm));
    this.#holders.set(device, vm);
  }

  close(device: number): void {
    this.#devices[device]!.close();
    this.#holders.delete(device);
  }

  alloc(vm: number): Pasid {
    return this.#sets.alloc(this.#token(vm));
  }

  map(vm: number, pasid: Pasid, bytes: Uint8Array): void {
    this.#sets.map(this.#token(vm), pasid, bytes);
  }

  free(vm: number, pasid: Pasid): void {
    this.#sets.free(this.#token(vm), pasid);
  }

  authorize(vm: number, device: number, pasid: Pasid): void {
    if (this.#holders.get(device) !== vm) refuse('EBADF', `VM ${vm} has not opened device ${device}`);
    this.#devices[device]!.bind(pasid);
  }

  revoke(device: number, pasid: Pasid): void {
    this.#devices[device]!.unbind(pasid);
  }

  writes(device: number, pasid: Pasid): boolean {
    return this.#devices[device]!.write(pasid, 0, data);
  }

  #token(vm: number): Token {
    const number = this.#tokenOf(vm);
    let token = this.#tokens.get(number);
    if (token === undefined) {
      token = { process: number };
      this.#tokens.set(number, token);
    }
    return token;
  }
}
