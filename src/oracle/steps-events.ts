/** Steps on queues of a vIOMMU's events. */
import fc from 'fast-check';
import { plain } from './language.js';
import { SELFTEST_EVENTS } from './makers.js';
import { edges32, mostly, which } from './numbers.js';
import type { Scene, Step } from './scene.js';

export const eventQueue: fc.Arbitrary<Step> = fc
  .record({
    which,
    type: mostly(fc.constant(SELFTEST_EVENTS), edges32),
    veventq_depth: mostly(
      fc.constantFrom(1, 2, 3, 16, 1 << 19),
      fc.constantFrom(0, (1 << 19) + 1, 0xffffffff),
    ),
  })
  .map(({ which, type, veventq_depth }) => (scene) => {
    const [id, fd] = [scene.name('veventq'), scene.name('events')];
    const viommu_id = scene.id(scene.pick(scene.viommus, which));
    const saves = { [id]: 'out_veventq_id', [fd]: { fd: 'out_veventq_fd' } };
    scene.call('VEVENTQ_ALLOC', { viommu_id, type, veventq_depth }, { saves });
    scene.others.push(id);
    scene.events.push(fd);
  });

const trigger = (scene: Scene, which: number) =>
  scene.call('TEST_TRIGGER_VEVENT', { dev_id: scene.id(scene.pick(scene.devices, which)?.idev) });

export const triggerEvent: fc.Arbitrary<Step> = fc
  .tuple(mostly(fc.constant(0), which), fc.integer({ min: 1, max: 5 }))
  .map(([which, count]) => (scene) => {
    for (let n = 0; n < count; n++) trigger(scene, which);
  });

export const readEvents: fc.Arbitrary<Step> = fc
  .record({
    which,
    length: mostly(fc.constantFrom(8, 12, 20, 24, 28, 32, 400), fc.constantFrom(0, 1, 7, 11)),
    again: fc.boolean(),
  })
  .map(({ which, length, again }) => (scene) => {
    const queue = scene.pick(scene.events, which);
    if (queue === undefined) return;
    scene.add(plain('read', queue, length));
    if (again) trigger(scene, 0);
  });

export const pollEvents: fc.Arbitrary<Step> = which.map((which) => (scene) => {
  const queue = scene.pick(scene.events, which);
  if (queue !== undefined) scene.add(plain('poll', queue));
});

/** Such a queue takes no writes, and has no offsets. */
export const misuseEvents: fc.Arbitrary<Step> = fc
  .tuple(which, fc.boolean())
  .map(([which, writes]) => (scene) => {
    const queue = scene.pick(scene.events, which);
    if (queue === undefined) return;
    scene.add(writes ? plain('write', queue, '00000000') : plain('pread', queue, 0, 12));
  });

export const closeEvents: fc.Arbitrary<Step> = which.map((which) => (scene) => {
  const queue = scene.pick(scene.events, which);
  if (queue === undefined) return;
  scene.add(plain('close', queue));
  scene.events.splice(scene.events.indexOf(queue), 1);
});
