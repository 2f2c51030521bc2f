/**
 * What the mock IOMMU caches of its user's tables: a few numbers, 0 where an entry was invalidated. Tests
 * look at them.
 */
import { hex, refuse } from '../linux/errno.js';

/** IOMMU_TEST_INVALIDATE_FLAG_ALL. */
const ALL = 1;

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
