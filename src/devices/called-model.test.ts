/** Whatever is asked of a model, what it does wrong then is its own failure, and it is asked no more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CalledModel } from './called-model.js';
import type { DeviceModel } from './device-model.js';
import { ModelCalls } from './model-calls.js';

const pci = { vendorId: 1, deviceId: 2, classCode: 0, bars: [{ index: 0 as const, size: 4096 }] };
const methods = { pci, readBar() {}, writeBar() {}, reset() {} };
const target = Uint8Array.of(1, 2);

/** All that a model has but its descriptions: how it is asked, and what comes back when it has failed. */
const asked: Readonly<
  Record<Exclude<keyof DeviceModel, 'pci' | 'mdev'>, readonly [(model: CalledModel) => unknown, unknown]>
> = {
  readBar: [(model) => model.readBar(0, 0, target), undefined],
  writeBar: [(model) => model.writeBar(0, 0, target), true],
  reset: [(model) => model.reset(), undefined],
  step: [(model) => model.step(), true],
  busy: [(model) => model.busy(), false],
  drain: [(model) => model.drainSome(), false],
  registerName: [(model) => model.registerName(0, 0), undefined],
};

for (const [member, [ask, otherwise]] of Object.entries(asked)) {
  test(`${member} that throws, or returns a promise, fails by itself`, () => {
    for (const [body, reason] of [
      [() => assert.fail('no'), /: no$/],
      [async () => undefined, new RegExp(`: ${member} returned a promise`)],
    ] as const) {
      let calls = 0;
      const wrong = (): unknown => {
        calls++;
        return body();
      };
      const made = { ...methods, busy: () => true, [member]: wrong };
      const model = CalledModel.make(new ModelCalls('vfio0'), () => made);
      assert.deepEqual([ask(model), ask(model), calls], [otherwise, otherwise, 1]);
      assert.match(model.calls.failure!, reason);
      model.calls.recover();
      ask(model);
      assert.deepEqual([calls, model.calls.failures], [2, 2]);
    }
    assert.deepEqual(target, Uint8Array.of(1, 2));
  });
}

test('what a factory makes is looked at once, and what was found stays', () => {
  let looks = 0;
  const description = structuredClone(pci);
  const made = Object.defineProperty({ ...methods }, 'pci', {
    get: () => {
      looks++;
      return description;
    },
  });
  const model = CalledModel.make(new ModelCalls('vfio0'), () => made);
  const before = looks;
  description.bars[0]!.size = 1;
  assert.deepEqual([model.pci, looks], [pci, before]);
});
