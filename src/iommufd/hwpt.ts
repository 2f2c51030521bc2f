/**
 * HWPT: a hardware page table of kind paging. It translates for one IOAS, whose mappings it follows; devices are attached to it.
 *
 * Made by its user (HWPT_ALLOC), or by us when a device is attached to an IOAS directly; those go with their last device.
 */
import type { IovaRange } from '../ioasid/iova-ranges.js';
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
  readonly tracksDirty: boolean;

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
    this.tracksDirty = flags.dirty ?? false;
  }

  get pageSize(): bigint {
    return this.hardware.pageSize;
  }

  get aperture(): IovaRange {
    return this.hardware.aperture;
  }

  destroy(): void {
    this.ioas.removeDomain(this);
    this.ioas.users--;
  }
}
