/**
 * The rights of a mapping, or what an access wants, and how a translation is refused: numbers that page
 * tables and requesters share.
 */

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
