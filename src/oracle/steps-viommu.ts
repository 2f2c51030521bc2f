/** Steps on virtual IOMMUs: their devices, what these cache, their queues. */
import fc from 'fast-check';
import { address, number } from './language.js';
import { addVdevice, addViommu, SELFTEST_TYPE } from './makers.js';
import { APERTURE_START, edges32, edges64, mostly, oneIn, PAGE, which, wrongId } from './numbers.js';
import { added, chosen, packed, type Step } from './scene.js';
import { invalidations } from './steps-nested.js';

const LAST = (1n << 64n) - 1n;

export const viommu: fc.Arbitrary<Step> = fc
  .record({
    which,
    table: which,
    type: mostly(fc.constant(SELFTEST_TYPE), edges32),
    flags: mostly(fc.constant(0), edges32),
  })
  .map(
    ({ which, table, type, flags }) =>
      (scene) =>
        addViommu(scene, scene.pick(scene.hwpts, table), flags, type, which),
  );

/**
 * With data: the part of it that comes back is looked at, but for the page to be mapped, which there is none
 * of here.
 */
export const viommuWithData: fc.Arbitrary<Step> = fc
  .record({
    which,
    table: which,
    wrong: wrongId,
    data_len: mostly(fc.constantFrom(8, 8, 24), fc.constantFrom(0, 4, 7, 12, 25, 4096)),
    far: oneIn(10),
  })
  .map(({ which, table, wrong, data_len, far }) => (scene) => {
    const name = scene.name('viommu');
    const dev_id = scene.id(scene.pick(scene.devices, which)?.idev);
    const hwpt_id = chosen(scene, wrong, table, scene.id(scene.pick(scene.hwpts, table)));
    const data_uptr = scene.scratch(packed(4, 0xbeef), far ? 0xffc : 0x800);
    const options = { saves: { [name]: 'out_viommu_id' }, watches: data_len === 8 ? ['s'] : [] };
    scene.call('VIOMMU_ALLOC', { type: SELFTEST_TYPE, dev_id, hwpt_id, data_len, data_uptr }, options);
    scene.viommus.push(name);
  });

const virtualIds = fc.constantFrom(1n, 2n, 0x99n);

export const vdevice: fc.Arbitrary<Step> = fc
  .record({ which, device: which, virt_id: mostly(virtualIds, edges64) })
  .map(
    ({ which, device, virt_id }) =>
      (scene) =>
        addVdevice(scene, scene.pick(scene.viommus, which), virt_id, device),
  );

/** Destroys what was made last: a vDEVICE, a queue. */
export const destroyLatest: fc.Arbitrary<Step> = fc.nat(3).map((back) => (scene) => {
  const name = scene.others[scene.others.length - 1 - back];
  scene.call('DESTROY', { id: scene.id(name) });
  if (name !== undefined) scene.forget(name);
});

export const invalidateDevices: fc.Arbitrary<Step> = fc
  .record({
    which,
    device: which,
    data_type: mostly(fc.constant(SELFTEST_TYPE), edges32),
    entries: fc.array(
      fc.tuple(
        fc.constantFrom(0, 0, 1, 2),
        mostly(fc.constantFrom(1, 2, 0x99), fc.constantFrom(0, 3)),
        fc.nat(4),
      ),
      {
        maxLength: 4,
      },
    ),
    entry_len: mostly(fc.constant(12), fc.constantFrom(0, 1, 4, 8, 11, 13, 16, 24, 4096, 4097)),
    cache: fc.nat(4),
    far: oneIn(8),
  })
  .map(({ which, device, data_type, entries, entry_len, cache, far }) => (scene) => {
    const hwpt_id = scene.id(scene.pick(scene.viommus, which));
    const data_uptr = invalidations(scene, entries, far);
    scene.call('HWPT_INVALIDATE', { hwpt_id, data_uptr, data_type, entry_len, entry_num: entries.length });
    const id = scene.id(scene.pick(scene.devices, device)?.idev);
    scene.call('TEST_DEV_CHECK_CACHE', { id, cache_id: cache, cache: which % 2 === 0 ? 0 : 0xbaddad });
  });

export const hwQueue: fc.Arbitrary<Step> = fc
  .record({
    which,
    mapping: which,
    wrong: wrongId,
    flags: mostly(fc.constant(0), edges32, 20),
    type: mostly(fc.constant(SELFTEST_TYPE), edges32, 20),
    index: mostly(fc.constantFrom(0, 0, 1), edges32),
    shift: mostly(fc.constantFrom(0n, 0n, 0x800n), fc.constantFrom(1n, PAGE, 0xfffn)),
    length: mostly(fc.constantFrom(PAGE, 0x800n, 0x10n), edges64),
    place: fc.constantFrom('any', 'mapped', 'mapped'),
    after: fc.constantFrom('nothing', 'nothing', 'unmap', 'unmap all'),
  })
  .map(({ which, mapping, wrong, flags, type, index, shift, length, place, after }) => (scene) => {
    const name = scene.name('queue');
    const viommu_id = chosen(scene, wrong, which, scene.id(scene.pick(scene.viommus, which)));
    const page = number(2n * APERTURE_START + BigInt(mapping) * PAGE);
    const iova = place === 'mapped' ? page : (scene.pick(scene.mappings, mapping)?.iova ?? page);
    const ioas_id = scene.id(scene.ioases[0]);
    if (place === 'mapped')
      scene.call('IOAS_MAP', {
        flags: 7,
        ioas_id,
        user_va: address('b', BigInt(mapping) * PAGE),
        length: PAGE,
        iova,
      });
    const fields = { flags, viommu_id, type, index, nesting_parent_iova: added(iova, shift), length };
    scene.call('HW_QUEUE_ALLOC', fields, { saves: { [name]: 'out_hw_queue_id' } });
    scene.others.push(name);
    if (after === 'unmap') scene.call('IOAS_UNMAP', { ioas_id, iova, length: PAGE });
    if (after === 'unmap all') scene.call('IOAS_UNMAP', { ioas_id, iova: 0, length: LAST });
  });
