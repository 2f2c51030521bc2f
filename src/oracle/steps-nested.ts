/** Steps on nested page tables. */
import fc from 'fast-check';
import { address, type Value } from './language.js';
import { SELFTEST_DATA, SELFTEST_TYPE } from './makers.js';
import { edges32, mostly, oneIn, which, wrongId } from './numbers.js';
import { chosen, packed, type Scene, type Step } from './scene.js';

export const nestedAlloc: fc.Arbitrary<Step> = fc
  .record({
    which,
    to: which,
    flags: mostly(fc.constantFrom(0, 0, 8, 8), edges32),
    data_type: mostly(fc.constant(SELFTEST_DATA), edges32),
    data_len: mostly(fc.constantFrom(4, 8), fc.constantFrom(0, 2, 12, 4096)),
    onViommu: fc.boolean(),
    wrong: wrongId,
    far: oneIn(15),
  })
  .map(({ which, to, flags, data_type, data_len, onViommu, wrong, far }) => (scene) => {
    const name = scene.name('nested');
    const right = scene.id(
      scene.pick(onViommu && scene.viommus.length > 0 ? scene.viommus : scene.hwpts, to),
    );
    scene.call(
      'HWPT_ALLOC',
      {
        flags,
        dev_id: scene.id(scene.pick(scene.devices, which)?.idev),
        pt_id: chosen(scene, wrong, to, right),
        data_type,
        data_len,
        data_uptr: far ? address('s', 0xffc) : scene.scratch(packed(4, 0x1234, 0), 0x800),
      },
      { saves: { [name]: 'out_hwpt_id' } },
    );
    scene.nested.push(name);
  });

/** Memory with `entries`; when it is `far`, the memory ends behind the first of them. */
export function invalidations(scene: Scene, entries: readonly (readonly number[])[], far: boolean): Value {
  if (!far || entries.length === 0) return scene.scratch(packed(4, ...entries.flat()), 0x800);
  return scene.scratch(packed(4, ...entries[0]!), 0x1000 - 4 * entries[0]!.length);
}

export const invalidate: fc.Arbitrary<Step> = fc
  .record({
    which,
    data_type: mostly(fc.constant(SELFTEST_TYPE), edges32),
    entries: fc.array(fc.tuple(fc.constantFrom(0, 1, 2), fc.nat(5)), { maxLength: 4 }),
    entry_len: mostly(fc.constant(8), fc.constantFrom(0, 4, 12, 4096, 4097)),
    cache: fc.nat(4),
    wrong: wrongId,
    far: oneIn(8),
  })
  .map(({ which, data_type, entries, entry_len, cache, wrong, far }) => (scene) => {
    const hwpt_id = chosen(
      scene,
      wrong,
      which,
      scene.id(scene.pick([...scene.nested, ...scene.nested, ...scene.hwpts], which)),
    );
    const data_uptr = invalidations(scene, entries, far);
    scene.call('HWPT_INVALIDATE', { hwpt_id, data_uptr, data_type, entry_len, entry_num: entries.length });
    scene.call('TEST_MD_CHECK_IOTLB', { id: hwpt_id, iotlb_id: cache, iotlb: which % 2 === 0 ? 0 : 0x1234 });
  });
