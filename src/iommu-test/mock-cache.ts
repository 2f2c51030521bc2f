/**
 * What the mock IOMMU caches of its user's tables: a few numbers, 0 where an entry was invalidated. Tests
 * look at them.
 */
import { hex, refuse } from '../linux/errno.js';

/** IOMMU_TEST_INVALIDATE_FLAG_ALL. */
const ALL = 1;
/** MOCK_DEV_CACHE_NUM. */
const CACHE_ENTRIES = 4;
/** IOMMU_TEST_DEV_CACHE_DEFAULT. */
const CACHE_DEFAULT = 0xbaddad;

/** A device of the mock IOMMU, with what is cached for it and a vIOMMU's user can invalidate. */
export abstract class CachingDevice {
  readonly cache = new Uint32Array(CACHE_ENTRIES).fill(CACHE_DEFAULT);
}

/**
 * Invalidates entry `id` of a cache, or with the flag for that all of them. @throws Refusal as
 * `requireFlags`; EINVAL no such entry, even where all are meant.
 */
export function invalidateEntry(cache: Uint32Array, flags: number, id: number): void {
  requireFlags(flags);
  if (id >= cache.length)
    refuse('EINVAL', `there are ${cache.length} cached entries, and ${id} is none of them`);
  if (flags & ALL) cache.fill(0);
  else cache[id] = 0;
}

/** @throws Refusal EOPNOTSUPP for flags that are unknown. */
export function requireFlags(flags: number): void {
  if (flags & ~ALL) refuse('EOPNOTSUPP', `an invalidation has no flags ${hex(flags >>> 0)}`);
}
