/**
 * Requester ids: where on the machine's bus each function is.
 *
 * A function is where its `--device` argument puts it, or at the next free place of bus 6a. Invariant: no two
 * have the same.
 */
import { refuse } from '../linux/errno.js';

/**
 * A requester id for each function, in the order of `wanted`; undefined: any will do.
 * @throws Refusal EEXIST when two ask for one; ENOSPC when the bus is full.
 */
export function assignRids(wanted: readonly (string | undefined)[]): string[] {
  const taken = new Set<string>();
  for (const rid of wanted) {
    if (rid === undefined) continue;
    if (taken.has(rid)) refuse('EEXIST', `two devices ask for bdf=${rid}`);
    taken.add(rid);
  }
  let next = 0;
  return wanted.map((rid) => {
    if (rid !== undefined) return rid;
    for (;;) {
      const bdf = `0000:6a:${(++next & 31).toString(16).padStart(2, '0')}.${next >>> 5}`;
      if (next > 255) refuse('ENOSPC', 'bus 0000:6a has no room for another device');
      if (!taken.has(bdf)) return bdf;
    }
  });
}
