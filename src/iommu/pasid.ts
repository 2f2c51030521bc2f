/**
 * The two numbers that are called PASID, as types that the compiler keeps apart: to take one for the other
 * would give a device the memory of another.
 *
 * A Pasid is of the system: it stands in the PASID table of a requester id, and no two contexts have the
 * same. A Vpasid is of one device: what its programmer writes into it, where a PASID of the same number may
 * be somebody else's. Both are made where a number is given out, decoded or found in a list, by the two
 * functions here, and nowhere else. A plain number is one that nobody has looked at.
 */
declare const kind: unique symbol;

/** A PASID of the system. */
export type Pasid = number & { readonly [kind]: 'PASID' };
/** A PASID of one device; a model gets and gives plain numbers. */
export type Vpasid = number & { readonly [kind]: 'vpasid' };

/** PASIDs are 20 bits wide. Key 0 of a PASID table is for requests that carry no PASID (VT-d: RID_PASID). */
export const PASID_BITS = 20;

/** The vpasid of requests that carry no PASID (PCI Express 5.0 §6.20; IOMMU_NO_PASID). */
export const NO_PASID = 0 as Vpasid;

/** `number` is one that the system has given, or that a PASID table is about to be asked for. */
export function pasidOf(number: number): Pasid {
  return number as Pasid;
}

/** `number` is one by which a device's programmer means an address space; 0 for requests that carry none. */
export function vpasidOf(number: number): Vpasid {
  return number as Vpasid;
}
