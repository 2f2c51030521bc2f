/** As devices/called-model.test.ts, of a virtio model; and what it answers is what its type says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ModelCalls } from '../model-calls.js';
import { CalledVirtioModel } from './called-virtio-model.js';
import type { VirtioModel } from './virtio-model.js';
import type { Virtqueue } from './virtqueue.js';

const CONFIG = Uint8Array.of(1, 2, 3);
const methods: VirtioModel = {
  virtio: { deviceId: 4, features: 0n, queues: 2, groups: 2 },
  config: CONFIG,
  serve() {},
  reset() {},
};
const queue = {} as Virtqueue;

/** All that a model has but its description: how it is asked, and what comes back when it has failed. */
const asked: Readonly<
  Record<Exclude<keyof VirtioModel, 'virtio'>, readonly [(model: CalledVirtioModel) => unknown, unknown]>
> = {
  config: [(model) => model.config, new Uint8Array(3)],
  configChanges: [(model) => model.configChanges, 0],
  writeConfig: [(model) => model.writeConfig(0, CONFIG), undefined],
  group: [(model) => model.group(1, 0n), 0],
  start: [(model) => model.start(0n, []), undefined],
  serve: [(model) => model.serve(queue, 0), undefined],
  step: [(model) => model.step(), true],
  busy: [(model) => model.busy(), false],
  drain: [(model) => model.drain(), false],
  reset: [(model) => model.reset(), undefined],
};

/** A model whose `member` is, or does, `wrong` once it was made. */
function wrongly(member: string, wrong: () => unknown): CalledVirtioModel {
  let made = false;
  const isProperty = member === 'config' || member === 'configChanges';
  const get = () => {
    if (made) return isProperty ? wrong() : wrong;
    return member === 'config' ? CONFIG : () => undefined;
  };
  const model = Object.defineProperty({ busy: () => true, ...methods }, member, { get });
  const called = CalledVirtioModel.make(new ModelCalls('vhost-vdpa-0'), () => model);
  made = true;
  return called;
}

for (const [member, [ask, otherwise]] of Object.entries(asked))
  test(`${member} that throws, or is a promise, fails by itself`, () => {
    for (const body of [() => assert.fail('no'), async () => undefined]) {
      let calls = 0;
      const model = wrongly(member, () => {
        calls++;
        return body();
      });
      assert.deepEqual([ask(model), ask(model), calls], [otherwise, otherwise, 1]);
      assert.equal(model.calls.failures, 1);
      model.calls.recover();
      ask(model);
      assert.deepEqual([calls, model.calls.failures], [2, 2]);
    }
  });

test('what a model answers is what its type says, or its failure', () => {
  const answers: readonly [string, unknown, RegExp][] = [
    ['config', new Uint8Array(2), /config is not the Uint8Array of 3 bytes/],
    ['config', 'abc', /config is not the Uint8Array of 3 bytes/],
    ['configChanges', Number.NaN, /configChanges is NaN/],
    ['group', 2, /queue 1 is in group 2, and there are 2$/],
    ['group', '0', /queue 1 is in group 0, and there are 2$/],
  ];
  for (const [member, answer, reason] of answers) {
    const model = wrongly(member, () => answer);
    asked[member as 'config'][0](model);
    assert.match(model.calls.failure!, reason);
  }
});

test('the configuration space that is given away is a copy', () => {
  const model = CalledVirtioModel.make(new ModelCalls('vhost-vdpa-0'), () => methods);
  model.config.fill(9);
  assert.deepEqual(CONFIG, Uint8Array.of(1, 2, 3));
});
