/**
 * The driver of one mediated device in the rejected design: it listens to its VM's set, and keeps by what it
 * hears its own list of the PASIDs that the device may use.
 *
 * At each use it asks its list, and then the set by the VM's token. Invariant: for each PASID that was bound
 * by this device there is one reference in the set and one grant to the requester id, and no other.
 *
 * As it was posted an event names the set and the PASID but no device, so each listener of the set takes a
 * BIND for its own. `named` events say which device is meant.
 */
import type { DeviceWork } from '../../driver/device-work.js';
import { finish } from '../../file/work.js';
import type { Requester } from '../../iommu/iommu.js';
import { type Pasid, vpasidOf } from '../../iommu/pasid.js';
import { refuse } from '../../linux/errno.js';
import type { IoasidSets, Token } from './ioasid-sets.js';
import { ALLOC, BIND, FREE, type IoasidEvent, type Listener, UNBIND } from './notifier-chain.js';

export class ListeningDriver implements Listener {
  readonly #sets: IoasidSets;
  readonly #requester: Requester;
  readonly #work: DeviceWork;
  readonly #named: boolean;
  /** PASIDs of the VM, by how often they were heard to be bound. */
  readonly #heard = new Map<Pasid, number>();
  /** Those that this device has bound. */
  readonly #bound = new Set<Pasid>();
  #token: Token | undefined;

  constructor(sets: IoasidSets, requester: Requester, work: DeviceWork, named: boolean) {
    this.#sets = sets;
    this.#requester = requester;
    this.#work = work;
    this.#named = named;
  }

  /** A VM opens the device. @throws Refusal EBUSY while it is open. */
  open(token: Token): void {
    if (this.#token !== undefined) refuse('EBUSY', 'the device is open already');
    this.#token = token;
    this.#sets.listen(token, this);
  }

  /** Gives everything back, and stops to listen. */
  close(): void {
    const token = this.#opened();
    finish(this.#work.stop());
    for (const pasid of this.#bound) this.#unbind(token, pasid);
    this.#sets.ignore(token, this);
    this.#heard.clear();
    this.#token = undefined;
  }

  /** @throws Refusal ENOENT the PASID is not of the VM; EEXIST it is bound already. */
  bind(pasid: Pasid): void {
    const token = this.#opened();
    const { table } = this.#sets.get(token, pasid);
    if (this.#bound.has(pasid)) {
      this.#sets.put(pasid);
      refuse('EEXIST', `the device has PASID ${pasid} already`);
    }
    this.#requester.grant(pasid, table);
    this.#bound.add(pasid);
    this.#sets.notify(token, BIND, pasid, this.#named ? this : undefined);
  }

  /** @throws Refusal ENOENT the device has not bound it. */
  unbind(pasid: Pasid): void {
    const token = this.#opened();
    if (!this.#bound.has(pasid)) refuse('ENOENT', `the device has not bound PASID ${pasid}`);
    finish(this.#work.drain(vpasidOf(pasid)));
    this.#unbind(token, pasid);
  }

  /** A DMA write of the device. @returns whether all of it arrived. */
  write(pasid: Pasid, iova: number, source: Uint8Array): boolean {
    const token = this.#token;
    if (token === undefined || !((this.#heard.get(pasid) ?? 0) > 0) || !this.#sets.owns(token, pasid))
      return false;
    return this.#requester.write(pasid, iova, source, 0, source.length) === undefined;
  }

  heard(event: IoasidEvent, pasid: Pasid, device: Listener | undefined): void {
    if (event === FREE) this.#freed(pasid);
    // What is only allocated may be bound, or not: there is nothing to keep of it.
    if (event === FREE || event === ALLOC || (device !== undefined && device !== this)) return;
    const change = event === UNBIND ? -1 : 1;
    this.#heard.set(pasid, Math.max(0, (this.#heard.get(pasid) ?? 0) + change));
  }

  #freed(pasid: Pasid): void {
    this.#heard.delete(pasid);
    if (!this.#bound.has(pasid)) return;
    finish(this.#work.drain(vpasidOf(pasid)));
    this.#drop(pasid);
  }

  #unbind(token: Token, pasid: Pasid): void {
    this.#sets.notify(token, UNBIND, pasid, this.#named ? this : undefined);
    this.#drop(pasid);
  }

  /** The entry, then the reference: a number is given out anew only when no requester has it. */
  #drop(pasid: Pasid): void {
    this.#bound.delete(pasid);
    this.#requester.withdraw(pasid);
    this.#sets.put(pasid);
  }

  #opened(): Token {
    return this.#token ?? refuse('EINVAL', 'the device is not open');
  }
}
