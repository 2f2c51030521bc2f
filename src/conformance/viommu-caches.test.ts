/** Caches of nested tables and of a vIOMMU's devices, and their invalidation. */
import assert from 'node:assert/strict';
import { PAGE, rulesOf } from './rule.js';
import { CACHE_DEFAULT, IOTLB, Scene, VIRTUAL_ID } from './scene.js';

const rule = rulesOf('vIOMMU');

rule(
  'a nested table caches until it is told not to: one entry, all of them; those before a bad one are handled',
  (transport) => {
    const scene = new Scene(transport);
    const nested = scene.nested(scene.parent);
    for (let n = 0; n < 4; n++) scene.iotlbIs(nested, n, IOTLB);
    const cases: [number[][], number, string][] = [
      [[[0, 1]], 1, 'ok'],
      [
        [
          [0, 2],
          [2, 0],
        ],
        1,
        'EOPNOTSUPP',
      ],
      [
        [
          [0, 0],
          [0, 4],
          [0, 3],
        ],
        1,
        'EINVAL',
      ],
    ];
    for (const [entries, handled, code] of cases)
      assert.deepEqual(scene.invalidate(nested, entries), [handled, code]);
    for (const [n, value] of [0, 0, 0, IOTLB].entries()) scene.iotlbIs(nested, n, value);
    assert.deepEqual(scene.invalidate(nested, [[1, 0]]), [1, 'ok']);
    scene.iotlbIs(nested, 3, 0);
    assert.deepEqual(
      scene.invalidate(scene.parent, [[1, 0]]),
      [0, 'EINVAL'],
      'a paging HWPT caches nothing of its user',
    );
    scene.close();
  },
);

rule('an array whose length lies is handled as far as its memory goes', (transport) => {
  const scene = new Scene(transport);
  const nested = scene.nested(scene.parent);
  const [handled, code] = scene.invalidate(nested, [[0, 0]], { claimed: 2 ** 19 });
  assert.ok(Number(handled) >= PAGE / 8, 'the memory that follows is zeros, at least to the end of its page');
  assert.notEqual(code, 'ok');
  assert.deepEqual(scene.invalidate(nested, [[0, 1]], { claimed: 2 ** 31 }), [0, 'EINVAL']);
  assert.deepEqual(scene.invalidate(nested, [[0, 1]], { length: 4097 }), [0, 'EINVAL']);
  assert.deepEqual(scene.invalidate(nested, [[0, 1]], { length: 12 }), [0, 'EINVAL']);
  assert.deepEqual(scene.invalidate(nested, [[0, 1]], { type: 1 }), [0, 'EINVAL']);
  scene.iotlbIs(nested, 0, 0);
  scene.iotlbIs(nested, 1, IOTLB);
  scene.close();
});

rule('what its devices cache is invalidated by their numbers in it', (transport) => {
  const scene = new Scene(transport);
  const viommu = scene.viommu();
  const other = scene.addDevice();
  scene.iommufd.vdeviceAlloc(viommu, scene.device.id, VIRTUAL_ID);
  assert.deepEqual(
    scene.invalidate(viommu, [
      [0, VIRTUAL_ID, 1],
      [2, VIRTUAL_ID, 2],
    ]),
    [1, 'EOPNOTSUPP'],
  );
  assert.deepEqual(
    scene.invalidate(viommu, [
      [0, VIRTUAL_ID, 0],
      [0, VIRTUAL_ID, 4],
    ]),
    [1, 'EINVAL'],
  );
  assert.deepEqual(scene.invalidate(viommu, [[0, VIRTUAL_ID + 1, 0]]), [0, 'EINVAL']);
  for (const [n, value] of [0, 0, CACHE_DEFAULT, CACHE_DEFAULT].entries()) scene.cacheIs(n, value);
  assert.deepEqual(scene.invalidate(viommu, [[1, VIRTUAL_ID, 0]]), [1, 'ok']);
  scene.cacheIs(3, 0);
  scene.cacheIs(3, CACHE_DEFAULT, other);
  assert.deepEqual(scene.invalidate(viommu, []), [0, 'ok'], 'a program may ask whether the type is known');
  assert.deepEqual(scene.invalidate(viommu, [], { type: 1 }), [0, 'EINVAL']);
  assert.deepEqual(scene.invalidate(viommu, [[1, VIRTUAL_ID, 0, 7]]), [0, 'E2BIG']);
  scene.close();
});
