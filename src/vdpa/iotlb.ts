/**
 * Iotlb: the address spaces of one open vDPA device, one for each ASID, as IOTLB messages change them (struct
 * vhost_iotlb_msg of linux/vhost_types.h).
 *
 * An ASID has an address space from its first batch or mapping on. Invariant: while that has mappings the
 * ASID is in the port's list, and its table is that; while it has none, the ASID can be a PASID of a context.
 * Mappings are taken out as a whole by what touches them, as Linux's vhost does.
 */
import type { MemoryRange } from '../file/open-file.js';
import { finish, type Sliced, type Work, workOf } from '../file/work.js';
import { AddressSpace } from '../ioasid/address-space.js';
import { type Iommu, RIGHTS } from '../iommu/iommu.js';
import { holding } from '../iommu/memory.js';
import { ADDRESS_BITS } from '../iommu/page-table.js';
import type { Vpasid } from '../iommu/pasid.js';
import { DEFAULT_MAPPING_QUOTA, Quota, tableQuota } from '../iommu/quota.js';
import { NONE } from '../iommu/table-memory.js';
import type { Account } from '../linux/account.js';
import { hex, refuse } from '../linux/errno.js';
import type { VdpaPort } from './vdpa-port.js';

/** Mappings that are taken out or forgotten before others have their turn. */
const CHUNK = 64;

/** The last IOVA that a device can use. */
export const LAST_IOVA = 2n ** BigInt(ADDRESS_BITS) - 1n;

/** [iova, iova+size) of an ASID. */
export interface IotlbRange {
  readonly asid: Vpasid;
  readonly iova: bigint;
  readonly size: bigint;
}

/** What an open device may have, where it is not the default. */
export interface IotlbLimits {
  readonly mappings?: number | undefined;
  /** Pages of 4 KiB for tables. */
  readonly tables?: number | undefined;
}

export class Iotlb {
  readonly #iommu: Iommu;
  readonly #port: VdpaPort;
  readonly #name: string;
  readonly #quota: Quota;
  readonly #pages: number | undefined;
  #tables: Quota;
  readonly #spaces = new Map<Vpasid, AddressSpace>();
  /** The ASID that a batch is about. */
  #batch: Vpasid | undefined;

  constructor(iommu: Iommu, port: VdpaPort, name: string, limits: IotlbLimits = {}) {
    this.#iommu = iommu;
    this.#port = port;
    this.#name = name;
    this.#quota = new Quota(limits.mappings ?? DEFAULT_MAPPING_QUOTA, 'mappings', 'ENOSPC');
    this.#pages = limits.tables;
    this.#tables = tableQuota(limits.tables);
  }

  /** The device is opened, and nothing is mapped yet. `payer` pays for the tables. */
  opened(payer: Account | undefined): void {
    this.#tables = tableQuota(this.#pages, payer);
  }

  /** Mappings of ASID `asid`. */
  mappings(asid: Vpasid): number {
    return this.#spaces.get(asid)?.table.count ?? 0;
  }

  /**
   * UPDATE: maps memory of the owner with the rights of `permission` (bit set: 1 read, 2 write). `memory` is
   * fetched when all else is right, and its reference taken over.
   * @throws Refusal EINVAL no such ASID, no range of IOVAs, or another ASID than the batch's; EEXIST it
   * overlaps a mapping; EBUSY the ASID is a PASID of a context; ENOSPC the quota; and what `memory` throws.
   */
  *update(
    { asid, iova, size }: IotlbRange,
    permission: number,
    memory: () => Sliced<MemoryRange>,
  ): Work<void> {
    this.#checkBatch(asid);
    this.#checkAsid(asid);
    this.#checkOwn(asid);
    if (iova + size - 1n > LAST_IOVA)
      refuse('EINVAL', `iova range ${hex(iova)}+${hex(size)} has addresses above ${hex(LAST_IOVA)}`);
    const existing = this.#spaces.get(asid);
    const space = existing ?? this.#makeSpace(asid);
    try {
      yield* workOf(space.iovas.find(size, 0n, iova));
      this.#quota.check(1);
      const range = yield* workOf(memory());
      const held = yield* holding(range.memory, range.offset, Number(size), permission & RIGHTS);
      const rights = permission & RIGHTS;
      space.map(iova, size, held, BigInt(range.offset), rights, range.lockedBy?.('vdpa'));
    } catch (refusal) {
      if (existing === undefined) finish(space.close());
      throw refusal;
    }
    this.#spaces.set(asid, space);
    if (space.table.count === 1) this.#port.enter(asid, space.table, undefined);
  }

  /**
   * INVALIDATE: takes out each mapping that the range touches. @throws Refusal EINVAL nothing was ever mapped
   * in that ASID, or another ASID than the batch's; EBUSY the ASID is a PASID of a context.
   */
  *invalidate({ asid, iova, size }: IotlbRange): Work<void> {
    this.#checkBatch(asid);
    this.#checkOwn(asid);
    const space = this.#known(asid);
    // 64 bits wrap: a range that ends before it begins is touched by what has its end and its begin.
    const end = BigInt.asUintN(64, iova + size - 1n);
    const last = end > LAST_IOVA ? LAST_IOVA : end;
    let from = last < iova ? last : iova;
    for (let looked = 1; from <= last; looked++) {
      const slot = space.table.firstFrom(from);
      if (slot === NONE || space.table.start(slot) > last) break;
      const [start, until] = [space.table.start(slot), space.table.last(slot)];
      if (until >= iova) yield* workOf(space.unmap(start, until - start + 1n));
      from = until + 1n;
      if (looked % CHUNK === 0) yield;
    }
    if (space.table.count === 0) this.#port.leave(asid);
  }

  /**
   * BATCH_BEGIN, which may be the first that is said about an ASID. @throws Refusal EINVAL no such ASID, or a
   * batch of another one is open; EBUSY the ASID is a PASID of a context.
   */
  beginBatch(asid: Vpasid): void {
    this.#checkBatch(asid);
    this.#checkAsid(asid);
    this.#checkOwn(asid);
    if (!this.#spaces.has(asid)) this.#spaces.set(asid, this.#makeSpace(asid));
    this.#batch = asid;
  }

  /** BATCH_END; without a batch it is nothing. @throws Refusal as `invalidate`. */
  endBatch(asid: Vpasid): void {
    this.#checkBatch(asid);
    this.#known(asid);
    this.#batch = undefined;
  }

  /**
   * The device has been reset and forgets what is mapped; its program has to say it again. Until what was
   * mapped is taken out its IOVAs stay taken, as in Linux.
   */
  *forget(): Work<void> {
    for (const [asid, space] of this.#spaces) {
      const empty = this.#makeSpace(asid);
      let count = 0;
      for (const { iova, length } of space.views()) {
        yield* empty.copy(iova, space, iova, length, 0);
        if (++count % CHUNK === 0) yield;
      }
      if (empty.table.count > 0) this.#port.enter(asid, empty.table, undefined);
      this.#spaces.set(asid, empty);
      yield* space.close();
    }
  }

  /** Asked before ASID `asid` becomes a PASID. @throws Refusal EBUSY while it has mappings of its own. */
  checkEmpty(asid: Vpasid): void {
    const count = this.mappings(asid);
    if (count > 0) refuse('EBUSY', `ASID ${asid} of ${this.#name} has ${count} mappings of its own`);
  }

  /** The device is closed. */
  *close(): Work<void> {
    for (const [asid, space] of this.#spaces) {
      if (space.table.count > 0) this.#port.leave(asid);
      yield* space.close();
    }
    this.#spaces.clear();
    this.#batch = undefined;
  }

  #makeSpace(asid: Vpasid): AddressSpace {
    return new AddressSpace(this.#iommu, `ASID ${asid} of ${this.#name}`, this.#quota, this.#tables);
  }

  #checkAsid(asid: Vpasid): void {
    if (asid >= this.#port.asids) refuse('EINVAL', `${this.#name} has no ASID ${asid}`);
  }

  #known(asid: Vpasid): AddressSpace {
    return (
      this.#spaces.get(asid) ?? refuse('EINVAL', `nothing was ever said of ASID ${asid} of ${this.#name}`)
    );
  }

  #checkBatch(asid: Vpasid): void {
    if (this.#batch !== undefined && this.#batch !== asid)
      refuse('EINVAL', `a batch of ASID ${this.#batch} is open, and this is about ASID ${asid}`);
  }

  /** Mappings of a PASID are its context's affair. */
  #checkOwn(asid: Vpasid): void {
    const authorization = this.#port.authorizations.byVpasid(asid);
    if (authorization?.context !== undefined)
      refuse('EBUSY', `ASID ${asid} of ${this.#name} is PASID ${authorization.pasid} of a /dev/ioasid`);
  }
}
