/** Whatever is in its struct, an ioctl is done, or refused with a documented errno and a reason. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { ErrnoName } from '../linux/errno.js';
import { refusal } from '../testkit/refused.js';
import { setU32 } from '../uapi/struct.js';

interface Ioctl {
  readonly struct: { readonly size: number };
}

/**
 * Has `attempt` do ioctls of `ioctls` with structs of random words, some of which are of `values`. `errnos`:
 * those that are documented.
 */
export function tryRandomStructs<I extends Ioctl>(
  ioctls: readonly I[],
  values: readonly number[],
  errnos: readonly ErrnoName[],
  attempt: (ioctl: I, data: Uint8Array) => unknown,
): void {
  const word = fc.oneof(fc.constantFrom(...values), fc.nat(0xffff), fc.nat(0xffff_ffff));
  const call = fc.record({
    ioctl: fc.constantFrom(...ioctls),
    words: fc.array(word, { minLength: 16, maxLength: 16 }),
    honest: fc.boolean(),
  });
  const property = fc.property(call, ({ ioctl, words, honest }) => {
    const data = new Uint8Array(ioctl.struct.size);
    for (let n = 0; n < data.length / 4 && n < words.length; n++) setU32(data, n * 4, words[n]!);
    if (honest) setU32(data, 0, data.length);
    const error = refusal(() => attempt(ioctl, data));
    if (error === undefined) return;
    assert.ok((errnos as readonly string[]).includes(error.code), error.message);
    assert.ok(error.reason.length > 10, error.message);
  });
  fc.assert(property, { numRuns: 500 });
}
