/**
 * The global ioasid_sets of the rejected design: each set belongs to a token, and all IOASIDs of the system
 * are found by number, whoever asks.
 *
 * A token stands for a VM. The posted patches took the mm of the process; any object will do here. A device
 * that uses an IOASID holds a reference. Freeing tells the listeners, each of which gives its reference back.
 * Invariant: the number and what is mapped are given back with the last reference, and not before.
 */
import { finish, finished } from '../../file/work.js';
import { AddressSpace } from '../../ioasid/address-space.js';
import type { PasidSpace } from '../../ioasid/pasid-space.js';
import { type Iommu, READ, WRITE } from '../../iommu/iommu.js';
import { BufferMemory } from '../../iommu/memory.js';
import type { Pasid } from '../../iommu/pasid.js';
import { DEFAULT_MAPPING_QUOTA, Quota, tableQuota } from '../../iommu/quota.js';
import { refuse } from '../../linux/errno.js';
import { broken } from '../../linux/invariant.js';
import { ALLOC, FREE, type IoasidEvent, type Listener, NotifierChain } from './notifier-chain.js';

export type Token = object;

/** The IOASIDs of one token, and who hears of them. */
interface IoasidSet {
  readonly chain: NotifierChain;
  readonly mappings: Quota;
  readonly tables: Quota;
  size: number;
}

interface Ioasid {
  readonly token: Token;
  readonly space: AddressSpace;
  references: number;
  /** It has been freed, and waits for the last who uses it. */
  freed: boolean;
}

export class IoasidSets {
  readonly #iommu: Iommu;
  readonly #pasids: PasidSpace;
  readonly #sets = new Map<Token, IoasidSet>();
  readonly #ioasids = new Map<Pasid, Ioasid>();

  constructor(iommu: Iommu, pasids: PasidSpace) {
    this.#iommu = iommu;
    this.#pasids = pasids;
  }

  /**
   * Whoever listens hears of what is in the set from now on, and at once of what is in it already. The set
   * need not exist yet.
   */
  listen(token: Token, listener: Listener): void {
    this.#set(token).chain.register(listener);
    for (const [pasid, ioasid] of this.#ioasids)
      if (ioasid.token === token && !ioasid.freed) listener.heard(ALLOC, pasid, undefined);
  }

  ignore(token: Token, listener: Listener): void {
    this.#set(token).chain.unregister(listener);
  }

  /** @throws Refusal ENOSPC as IoasidContext.alloc. */
  alloc(token: Token): Pasid {
    const set = this.#set(token);
    if (set.size >= this.#pasids.quota)
      refuse('ENOSPC', `this set has reached its quota of ${this.#pasids.quota} PASIDs`);
    const pasid = this.#pasids.alloc();
    const space = new AddressSpace(this.#iommu, `PASID ${pasid}`, set.mappings, set.tables);
    this.#ioasids.set(pasid, { token, space, references: 1, freed: false });
    set.size++;
    set.chain.tell(ALLOC, pasid, undefined);
    return pasid;
  }

  /** Maps `bytes` at IOVA 0. @throws Refusal ENOENT the PASID is not of this token. */
  map(token: Token, pasid: Pasid, bytes: Uint8Array): void {
    const { space } = this.#find(token, pasid);
    const length = BigInt(bytes.length);
    const iova = finished(space.iovas.find(length, 0n, 0n));
    space.map(iova, length, new BufferMemory(bytes), 0n, READ | WRITE);
  }

  /** The check at each use: is that PASID of this token? */
  owns(token: Token, pasid: Pasid): boolean {
    const ioasid = this.#ioasids.get(pasid);
    return ioasid !== undefined && ioasid.token === token && !ioasid.freed;
  }

  /** One more uses it. @throws Refusal ENOENT the PASID is not of this token. */
  get(token: Token, pasid: Pasid): AddressSpace {
    const ioasid = this.#find(token, pasid);
    ioasid.references++;
    return ioasid.space;
  }

  /** One that used it does so no more. */
  put(pasid: Pasid): void {
    const ioasid = this.#ioasids.get(pasid) ?? broken(`PASID ${pasid} is put, and nobody has it`);
    if (--ioasid.references > 0) return;
    this.#ioasids.delete(pasid);
    this.#set(ioasid.token).size--;
    finish(ioasid.space.close());
    this.#pasids.free(pasid);
  }

  /** Frees a PASID: whoever uses it is told to stop. @throws Refusal ENOENT it is not of this token. */
  free(token: Token, pasid: Pasid): void {
    const ioasid = this.#find(token, pasid);
    ioasid.freed = true;
    this.#set(token).chain.tell(FREE, pasid, undefined);
    this.put(pasid);
  }

  /** A driver tells the other listeners of the set what it has done. */
  notify(token: Token, event: IoasidEvent, pasid: Pasid, device: Listener | undefined): void {
    this.#set(token).chain.tell(event, pasid, device);
  }

  #find(token: Token, pasid: Pasid): Ioasid {
    const ioasid = this.#ioasids.get(pasid);
    if (ioasid === undefined || ioasid.token !== token || ioasid.freed)
      refuse('ENOENT', `PASID ${pasid} is not in this set`);
    return ioasid;
  }

  #set(token: Token): IoasidSet {
    let set = this.#sets.get(token);
    if (set === undefined) {
      const mappings = new Quota(DEFAULT_MAPPING_QUOTA, 'mappings', 'ENOSPC');
      set = { chain: new NotifierChain(), mappings, tables: tableQuota(), size: 0 };
      this.#sets.set(token, set);
    }
    return set;
  }
}
