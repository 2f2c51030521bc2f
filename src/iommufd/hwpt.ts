/**
 * HWPT: a hardware page table of kind paging. It translates for one IOAS, whose mappings it follows; devices are attached to it.
 *
 * Made by its user (HWPT_ALLOC), or by us when a device is attached to an IOAS directly; those go with their last device.
 */
import { type IovaRange, LAST_IOVA } from '../ioasid/iova-ranges.js';
import { DirtyLog } from '../iommu/dirty-log.js';
import type { IommuHardware } from './hardware.js';
import type { DomainShape, Ioas } from './ioas.js';
import { IommufdObject } from './objects.js';

export class Hwpt extends IommufdObject implements DomainShape {
  readonly kind = 'HWPT';
  readonly ioas: Ioas;
  readonly hardware: IommuHardware;
  /** Made for a device that was attached to the IOAS itself. */
  readonly auto: boolean;
  /** May be a parent of nested tables. */
  readonly nestParent: boolean;
  /** May be attached to a PASID. */
  readonly pasidCompatible: boolean;
  /** Which pages were written, for a table that can tell. */
  readonly dirty: DirtyLog | undefined;

  /** @throws Refusal as Ioas.addDomain. */
  constructor(ioas: Ioas, hardware: IommuHardware, flags: { auto?: boolean; nestParent?: boolean; pasid?: boolean; dirty?: boolean }) {
    super();
    this.ioas = ioas;
    this.hardware = hardware;
    ioas.addDomain(this);
    ioas.users++;
    this.auto = flags.auto ?? false;
    this.nestParent = flags.nestParent ?? false;
    this.pasidCompatible = flags.pasid ?? false;
    this.dirty = flags.dirty ? new DirtyLog(hardware.pageSize) : undefined;
  }

  get pageSize(): bigint {
    return this.hardware.pageSize;
  }

  get aperture(): IovaRange {
    return this.hardware.aperture;
  }

  get pageSizes(): bigint {
    return this.hardware.pageSizes ?? LAST_IOVA ^ (this.hardware.pageSize - 1n);
  }

  get coherent(): boolean {
    return this.hardware.coherent ?? false;
  }

  /** A device has written to the page at `iova`: its entry in the table is dirty, which may be that of a large page. */
  written(iova: bigint): void {
    const { table } = this.ioas.space;
    const slot = table.find(iova);
    if (this.dirty === undefined || slot < 0) return;
    const large = this.hardware.largePageSize ?? this.pageSize;
    const start = iova - (iova % large);
    const whole = table.start(slot) <= start && start + large - 1n <= table.last(slot);
    const end = whole ? start + large : iova + this.pageSize;
    for (let page = whole ? start : iova; page < end; page += this.pageSize) this.dirty.mark(page);
  }

  destroy(): void {
    this.ioas.removeDomain(this);
    this.ioas.users--;
  }
}
