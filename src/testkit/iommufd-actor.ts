/**
 * What an actor does with `/dev/iommu`: its ioctls, as commands; the checksum device, which is bound to it;
 * and a guest, which has a mediated device there.
 */
import { CONFIG_REGION } from '../client/vfio-device.js';
import { HWPT_DATA_VTD_S1, VtdS1Struct } from '../uapi/iommufd/vtd.js';
import {
  DestroyStruct,
  HwptAllocStruct,
  IoasAllocStruct,
  IoasMapFileStruct,
  IoasMapStruct,
  IoasUnmapStruct,
  iommufdNumber,
} from '../uapi/iommufd.js';
import { type FieldTypes, type Given, type Struct, sized } from '../uapi/struct.js';
import {
  ATTACH_PASID,
  AttachStruct,
  BindStruct,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
} from '../uapi/vfio-cdev.js';
import { type Actor, eventually } from './actor.js';
import { DsaFile, DsaMemory, hexadecimal, IOVA, PAGE, REGION_SPAN } from './dsa-actor.js';

/** IOMMU_IOAS_MAP_FIXED_IOVA | _WRITEABLE | _READABLE. */
const FIXED = 7;
export const JOB = 0x10_0000;
const DATA = JOB + 64;
const MEMORY_AND_BUS_MASTER = '0600';
/** IOMMU_HWPT_ALLOC_PASID. */
const HWPT_PASID = 8;

/** The bytes of a struct, its first field being its size. */
function bytes<T extends FieldTypes>(struct: Struct<T>, given: Given<T>): string {
  return hexadecimal(sized(struct, given));
}

/** An actor's open `/dev/iommu`. The methods give the command; `actor` does it. */
export class IommufdActor {
  readonly fd: number;

  constructor(fd: number) {
    this.fd = fd;
  }

  static async open(actor: Actor): Promise<IommufdActor> {
    return new IommufdActor(await actor.do('open /dev/iommu'));
  }

  allocation(): string {
    return this.#command('IOMMU_IOAS_ALLOC', bytes(IoasAllocStruct, {}));
  }

  mapping(ioas: number, address: number, iova: number): string {
    const fields = { flags: FIXED, ioas_id: ioas, user_va: address, length: PAGE, iova };
    return this.#command('IOMMU_IOAS_MAP', bytes(IoasMapStruct, fields));
  }

  fileMapping(ioas: number, fd: number, iova: number): string {
    const fields = { flags: FIXED, ioas_id: ioas, fd, start: 0, length: PAGE, iova };
    return this.#command('IOMMU_IOAS_MAP_FILE', bytes(IoasMapFileStruct, fields));
  }

  unmapping(ioas: number, iova: number): string {
    return this.#command('IOMMU_IOAS_UNMAP', bytes(IoasUnmapStruct, { ioas_id: ioas, iova, length: PAGE }));
  }

  destruction(id: number): string {
    return this.#command('IOMMU_DESTROY', bytes(DestroyStruct, { id }));
  }

  pageTable(device: number, ioas: number, flags = 0): string {
    return this.#command('IOMMU_HWPT_ALLOC', bytes(HwptAllocStruct, { dev_id: device, pt_id: ioas, flags }));
  }

  /** A page table in the user's memory, under the HWPT `parent`; a struct iommu_hwpt_vtd_s1 is at `data`. */
  nestedTable(device: number, parent: number, data: number): string {
    const table = { data_type: HWPT_DATA_VTD_S1, data_len: VtdS1Struct.size, data_uptr: data };
    return this.#command(
      'IOMMU_HWPT_ALLOC',
      bytes(HwptAllocStruct, { dev_id: device, pt_id: parent, ...table }),
    );
  }

  /** A page table of `ioas`. @returns its id. */
  async hwpt(actor: Actor, device: number, ioas: number, flags: number): Promise<number> {
    const [, answer] = await actor.words(this.pageTable(device, ioas, flags));
    return word(answer, HwptAllocStruct.at.out_hwpt_id);
  }

  async ioas(actor: Actor): Promise<number> {
    return word((await actor.words(this.allocation()))[1], IoasAllocStruct.at.out_ioas_id);
  }

  #command(name: Parameters<typeof iommufdNumber>[0], data: string): string {
    return `ioctl ${this.fd} ${iommufdNumber(name)} ${data}`;
  }
}

/** The 32-bit field at byte `at` of what an ioctl has answered. */
function word(answer: string | undefined, at: number): number {
  return Buffer.from(answer ?? '', 'hex').readUInt32LE(at);
}

/** The checksum device in the hands of an actor. */
export class ChecksumFile {
  readonly actor: Actor;
  readonly fd: number;

  constructor(actor: Actor, fd: number) {
    this.actor = actor;
    this.fd = fd;
  }

  static async open(actor: Actor): Promise<ChecksumFile> {
    const device = new ChecksumFile(actor, await actor.do('open /dev/vfio/devices/vfio0'));
    await actor.words(`pwrite ${device.fd} ${CONFIG_REGION * REGION_SPAN + 4} ${MEMORY_AND_BUS_MASTER}`);
    return device;
  }

  /** @returns its id. */
  async bind(iommufd: number): Promise<number> {
    const [, answer] = await this.actor.words(this.binding(iommufd));
    return word(answer, BindStruct.at.out_devid);
  }

  /** Binds it to the context, as a command. */
  binding(iommufd: number): string {
    return `ioctl ${this.fd} ${VFIO_DEVICE_BIND_IOMMUFD} ${bytes(BindStruct, { iommufd })}`;
  }

  attachment(pageTable: number): string {
    return `ioctl ${this.fd} ${VFIO_DEVICE_ATTACH_IOMMUFD_PT} ${bytes(AttachStruct, { pt_id: pageTable })}`;
  }

  /**
   * Has the device sum up 16 bytes at DATA, the job being in the page of `memory` that is at `address` there.
   * @returns the sum, 0: it could not.
   */
  async sum(memory: Actor, address: number): Promise<number> {
    const job = Buffer.alloc(32);
    job.writeBigUInt64LE(BigInt(DATA), 0);
    job.writeBigUInt64LE(16n, 8);
    await memory.words(`poke ${address} ${job.toString('hex')}`);
    const doorbell = Buffer.alloc(8);
    doorbell.writeBigUInt64LE(BigInt(JOB), 0);
    await this.actor.words(`pwrite ${this.fd} 8 ${doorbell.toString('hex')}`);
    await eventually(
      async () => (await this.actor.run.state()).devices[0]?.busy === false,
      'the end of the job',
    );
    const answer = Buffer.from((await memory.words(`peek ${address} 32`))[0] ?? '', 'hex');
    return answer.readUInt32LE(16) === 1 ? answer.readUInt32LE(20) : 0;
  }
}

/**
 * A process with a context of its own, and a mediated device (a work queue of DSA) that is bound to it and
 * has memory of its at IOVA of PASID 1.
 */
export class DsaGuest {
  readonly device: DsaFile;
  readonly memory: DsaMemory;
  readonly iommufd: IommufdActor;
  readonly attachment: string;

  private constructor(device: DsaFile, memory: DsaMemory, iommufd: IommufdActor, hwpt: number) {
    this.device = device;
    this.memory = memory;
    this.iommufd = iommufd;
    const fields = { flags: ATTACH_PASID, pt_id: hwpt, pasid: 1 };
    this.attachment = `ioctl ${device.fd} ${VFIO_DEVICE_ATTACH_IOMMUFD_PT} ${bytes(AttachStruct, fields)}`;
  }

  static async create(actor: Actor, name: string): Promise<DsaGuest> {
    const iommufd = await IommufdActor.open(actor);
    const ioas = await iommufd.ioas(actor);
    const memory = await DsaMemory.create(actor, PAGE);
    await actor.words(iommufd.fileMapping(ioas, memory.fd, IOVA));
    const device = await DsaFile.open(actor, name);
    const id = await new ChecksumFile(actor, device.fd).bind(iommufd.fd);
    const [, answer] = await actor.words(iommufd.pageTable(id, ioas, HWPT_PASID));
    return new DsaGuest(device, memory, iommufd, word(answer, HwptAllocStruct.at.out_hwpt_id));
  }

  /**
   * Has the device fill 64 bytes by PASID 1. @returns the status in its completion record, 0: it could not
   * even write that.
   */
  reach(): Promise<number> {
    return this.device.reach(this.memory, 1);
  }
}
