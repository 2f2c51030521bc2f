/**
 * The rights of a mapping, or what an access wants, and how a translation is refused: numbers that page
 * tables and requesters share.
 */
import { NO_PASID, type Pasid, type Vpasid } from './pasid.js';

/** A bit set of READ and WRITE. */
export type Access = number;
export const READ = 1;
export const WRITE = 2;
export const RIGHTS = READ | WRITE;
/**
 * Beside the rights of a mapping: its memory was handed over for writing, whatever this mapping gives.
 * Translation does not look at it.
 */
export const MEMORY_WRITABLE = 4;

/** Nothing is mapped there. */
export const NOT_MAPPED = -1;
/** The mapping does not give that right. */
export const NO_RIGHT = -2;
/** The PASID table has no such entry. */
export const NO_ENTRY = -3;
/** A nested table has refused: its `refusal` says why. */
export const REFUSED = -4;

/**
 * Why `who` has no access by `pasid`, in the words of the ABI that it is used by: page tables are attached by
 * its program, or PASIDs authorized.
 */
export function noAccess(attaches: boolean, who: string, pasid: Pasid | Vpasid): string {
  const which = pasid === NO_PASID ? 'requests without PASID' : `PASID ${pasid}`;
  return attaches ? `nothing is attached for ${which} of ${who}` : `${who} is not authorized for ${which}`;
}
