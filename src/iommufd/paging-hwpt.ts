/**
 * PagingHwpt: a page table that translates for one IOAS, whose mappings it follows.
 *
 * Made by its user (HWPT_ALLOC), or by us when a device is attached to an IOAS directly; those go with their
 * last device.
 */

import type { Work } from '../file/work.js';
import { type IovaRange, LAST_IOVA } from '../ioasid/iova-ranges.js';
import { DirtyLog } from '../iommu/dirty-log.js';
import type { PageTable } from '../iommu/page-table.js';
import { hex, refuse } from '../linux/errno.js';
import { release } from '../linux/invariant.js';
import type { IommuHardware, PagingFormat, SecondStage } from './hardware.js';
import { HWPT_DIRTY_TRACKING, HWPT_FAULT_ID_VALID, HWPT_NEST_PARENT, HWPT_PASID, Hwpt } from './hwpt.js';
import type { DomainShape, Ioas } from './ioas.js';
import type { UserData } from './user-data.js';

const FLAGS = HWPT_NEST_PARENT | HWPT_DIRTY_TRACKING | HWPT_FAULT_ID_VALID | HWPT_PASID;

export class PagingHwpt extends Hwpt implements DomainShape, SecondStage {
  readonly ioas: Ioas;
  /** Made for a device that was attached to the IOAS itself. */
  readonly auto: boolean;
  /** May be a parent of nested tables. */
  readonly nestParent: boolean;
  /** Which pages were written, for a table that can tell. */
  readonly dirty: DirtyLog | undefined;
  readonly #format: PagingFormat;

  /** For `create` and `automatic`: until they have returned it translates for nothing. */
  constructor(ioas: Ioas, iommu: object, format: PagingFormat, flags: number, auto: boolean) {
    super(iommu, flags);
    this.ioas = ioas;
    this.#format = format;
    this.auto = auto;
    this.nestParent = (flags & HWPT_NEST_PARENT) !== 0;
    this.dirty = flags & HWPT_DIRTY_TRACKING ? new DirtyLog(format.pageSize, this.table.pages) : undefined;
  }

  /**
   * A page table for devices behind the IOMMU of `hardware`.
   * @throws Refusal EOPNOTSUPP flags or data that it does not support; and as Ioas.addDomain.
   */
  static *create(ioas: Ioas, hardware: IommuHardware, flags: number, data: UserData): Work<PagingHwpt> {
    const format = data.length > 0 ? hardware.formatOf : undefined;
    if ((data.length > 0 && format === undefined) || (flags !== 0 && !hardware.flags))
      refuse(
        'EOPNOTSUPP',
        `the device's IOMMU takes no page tables of format ${data.type} with flags ${hex(flags)}`,
      );
    if (flags & ~FLAGS)
      refuse('EOPNOTSUPP', `HWPT_ALLOC does not know the flags ${hex((flags & ~FLAGS) >>> 0)}`);
    if (flags & HWPT_DIRTY_TRACKING && !hardware.dirtyTracking)
      refuse('EOPNOTSUPP', "the device's IOMMU does not track dirty pages");
    if (flags & HWPT_FAULT_ID_VALID && flags & HWPT_NEST_PARENT)
      refuse('EOPNOTSUPP', 'the parent of nested tables delivers no faults');
    const shape = format?.call(hardware, data) ?? hardware;
    return yield* new PagingHwpt(ioas, hardware.iommu, shape, flags, false).#begin();
  }

  /** The page table for devices that are attached to `ioas` itself. @throws Refusal as Ioas.addDomain. */
  static automatic(ioas: Ioas, hardware: IommuHardware): Work<PagingHwpt> {
    return new PagingHwpt(ioas, hardware.iommu, hardware, 0, true).#begin();
  }

  get table(): PageTable {
    return this.ioas.space.table;
  }

  get pageSize(): bigint {
    return this.#format.pageSize;
  }

  get aperture(): IovaRange {
    return this.#format.aperture;
  }

  get pageSizes(): bigint {
    return this.#format.pageSizes ?? LAST_IOVA ^ (this.pageSize - 1n);
  }

  get coherent(): boolean {
    return this.#format.coherent ?? false;
  }

  /**
   * A device has written to the page at `iova`: its entry in the table is dirty, which may be that of a large
   * page.
   */
  written(iova: bigint): void {
    const { table } = this;
    const slot = table.find(iova);
    if (this.dirty === undefined || slot < 0) return;
    const large = this.#format.largePageSize ?? this.pageSize;
    const start = iova - (iova % large);
    const whole = table.start(slot) <= start && start + large - 1n <= table.last(slot);
    const end = whole ? start + large : iova + this.pageSize;
    for (let page = whole ? start : iova; page < end; page += this.pageSize) this.dirty.mark(page);
  }

  *#begin(): Work<this> {
    yield* this.ioas.addDomain(this);
    this.ioas.hold();
    return this;
  }

  override destroy(): void {
    release([
      () => super.destroy(),
      () => this.dirty?.clear(),
      () => this.ioas.removeDomain(this),
      () => this.ioas.drop(),
    ]);
  }
}
