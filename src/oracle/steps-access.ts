/** Steps of an access: what a driver does that uses the memory of an IOAS itself, as that of an mdev. */
import fc from 'fast-check';
import { address, descriptor, number, plain, saved } from './language.js';
import { openAccess } from './makers.js';
import { APERTURE_START, edges32, mostly, oneIn, PAGE, which, wrongId } from './numbers.js';
import { added, chosen, packed, type Step } from './scene.js';

export const createAccess: fc.Arbitrary<Step> = fc
  .record({ which, wrong: wrongId, flags: mostly(fc.constantFrom(0, 1, 1), edges32) })
  .map(({ which, wrong, flags }) => (scene) => {
    openAccess(scene, chosen(scene, wrong, which, scene.id(scene.pick(scene.ioases, which))), flags);
  });

export const accessPages: fc.Arbitrary<Step> = fc
  .record({
    which,
    mapping: which,
    flags: mostly(fc.constantFrom(0, 1), edges32),
    skip: mostly(fc.constant(0n), fc.constantFrom(1n, 0x800n, PAGE)),
    length: fc.constantFrom(undefined, undefined, 1n, PAGE, 3n * PAGE),
  })
  .map(({ which, mapping, flags, skip, length }) => (scene) => {
    const access = scene.pick(scene.accesses, which);
    const at = scene.pick(scene.mappings, mapping);
    const name = scene.name('pin');
    scene.call(
      'TEST_ACCESS_PAGES',
      {
        id: access === undefined ? number(-1) : descriptor(access),
        flags: flags === 0x10000 ? 2 : flags,
        iova: added(at?.iova ?? number(2n * APERTURE_START), skip),
        length: length ?? smaller(at?.length ?? PAGE),
        uptr: at?.memory === undefined ? number(0) : added(at.memory, skip),
      },
      { saves: { [name]: 'out_access_pages_id' } },
    );
    if (access !== undefined) scene.pins.push({ access, name });
  });

export const unpinPages: fc.Arbitrary<Step> = fc
  .record({ which, stale: oneIn(6) })
  .map(({ which, stale }) => (scene) => {
    const pin = scene.pick(scene.pins, which);
    const id = pin === undefined ? number(-1) : descriptor(pin.access);
    scene.call('TEST_DESTROY_ACCESS_PAGES', {
      id,
      access_pages_id: pin === undefined ? 0 : saved(pin.name, stale ? 1 : 0),
    });
  });

export const accessRw: fc.Arbitrary<Step> = fc
  .record({
    which,
    mapping: which,
    flags: mostly(fc.constantFrom(0, 1, 4, 5), edges32),
    skip: mostly(fc.constant(0n), fc.constantFrom(1n, 0x7f0n, 0xff8n, PAGE)),
    length: mostly(fc.constantFrom(1n, 16n, 64n), fc.constantFrom(0n, 0x1800n, 1n << 25n)),
  })
  .map(({ which, mapping, flags, skip, length }) => (scene) => {
    const access = scene.pick(scene.accesses, which);
    const at = scene.pick(scene.mappings, mapping);
    scene.add(plain('fill', 's', 0x400, packed(1, which, 2, 3, 4, 5, 6, 7, 8)));
    scene.call(
      'TEST_ACCESS_RW',
      {
        id: access === undefined ? number(-1) : descriptor(access),
        iova: added(at?.iova ?? number(2n * APERTURE_START), skip),
        length,
        uptr: address('s', 0x400),
        flags: flags === 0x10000 ? 2 : flags,
      },
      { watches: ['s', 'b'] },
    );
  });

export const accessReplace: fc.Arbitrary<Step> = fc
  .record({ which, to: which, wrong: wrongId })
  .map(({ which, to, wrong }) => (scene) => {
    const access = scene.pick(scene.accesses, which);
    const ioas_id = chosen(scene, wrong, to, scene.id(scene.pick(scene.ioases, to)));
    scene.call('TEST_ACCESS_REPLACE_IOAS', {
      id: access === undefined ? number(-1) : descriptor(access),
      ioas_id,
    });
  });

export const closeAccess: fc.Arbitrary<Step> = which.map((which) => (scene) => {
  const access = scene.pick(scene.accesses, which);
  if (access === undefined) return;
  scene.add(plain('close', access));
  scene.accesses.splice(scene.accesses.indexOf(access), 1);
});

/** Lengths that a whole page array of the test interface can be made for. */
function smaller(length: bigint): bigint {
  return length > 1n << 20n ? PAGE : length;
}
