/**
 * What actors do with a PASID of kind process: one has the context and a work queue of DSA, its child the
 * memory that the device works in.
 */
import { COMPLETION_BYTES, type DsaCompletion, decodeCompletion } from '../client/dsa.js';
import type { Actor } from './actor.js';
import { DsaFile, fillDescriptor, PAGE } from './dsa-actor.js';

/** IOASID_KIND_PROCESS. */
export const PROCESS = 2;
/** Where actors have a page for completion records, and one for data. */
export const RECORD = 0x2_0000_0000;
export const DATA = 0x2_0010_0000;

/** A device that an actor holds, and a PASID that is the address space of another: `owner`. */
export class Shared {
  readonly owner: Actor;
  readonly ioasid: number;
  readonly device: DsaFile;
  readonly pasid: number;

  private constructor(owner: Actor, ioasid: number, device: DsaFile, pasid: number) {
    this.owner = owner;
    this.ioasid = ioasid;
    this.device = device;
    this.pasid = pasid;
  }

  /** The context and the device are the actor's; its child has the memory. */
  static async open(actor: Actor): Promise<Shared> {
    const ioasid = await actor.do('open /dev/ioasid');
    const device = await DsaFile.open(actor);
    return Shared.by(actor, ioasid, device);
  }

  /** The same, with a new child, in a context and with a device that the actor has open. */
  static async by(actor: Actor, ioasid: number, device: DsaFile): Promise<Shared> {
    const owner = await actor.fork();
    for (const address of [RECORD, DATA]) await owner.words(`mmap ${PAGE} ${address}`);
    const pasid = await owner.do(`alloc ${ioasid} ${PROCESS}`);
    await actor.words(`authorize ${device.fd} ${ioasid} ${pasid}`);
    return new Shared(owner, ioasid, device, pasid);
  }

  /** Has the device write 8 bytes at `address`. @returns its completion record, as `reader` has it. */
  async fill(address: number, byte: number, reader = this.owner): Promise<DsaCompletion> {
    await reader.words(`fill ${RECORD} ${COMPLETION_BYTES} 0`);
    await this.device.submit(fillDescriptor(this.pasid, address, 8, byte, RECORD));
    await this.device.settled();
    const [record = ''] = await reader.words(`peek ${RECORD} ${COMPLETION_BYTES}`);
    return decodeCompletion(Buffer.from(record, 'hex'));
  }
}

export async function firstByte(actor: Actor, address: number): Promise<string | undefined> {
  return (await actor.words(`peek ${address} 1`))[0];
}
