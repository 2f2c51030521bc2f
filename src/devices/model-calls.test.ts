import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CallWord, callNames, callWords, describeCall, Method } from './call-words.js';
import { ModelCalls } from './model-calls.js';

const nothing = () => undefined;
const now = () => callWords[CallWord.CALL]!;
/** Waits for `done`, and then for a turn of Node's loop that is nobody's. */
const until = async (done: () => boolean) => {
  do await new Promise((resolve) => setImmediate(resolve));
  while (!done());
};

test('while a method runs the words name it and its model, and no longer', () => {
  const calls = new ModelCalls('vfio7');
  const seen = [Method.READ_BAR, Method.WRITE_BAR, Method.STEP, Method.BUSY, Method.RESET].map((method) =>
    describeCall(calls.call(method, 0, now), callNames),
  );
  assert.deepEqual(
    seen,
    ['readBar', 'writeBar', 'step', 'busy', 'reset'].map((name) => `${name} of vfio7`),
  );
  assert.equal(describeCall(calls.make(now), callNames), 'the factory of vfio7');
  const fails = () => {
    throw new Error('no');
  };
  assert.equal(calls.call(Method.STEP, 'otherwise', fails), 'otherwise');
  assert.throws(() => calls.make(fails));
  assert.equal(now(), 0);
});

test('each call has a count of its own', () => {
  const calls = new ModelCalls('vfio0');
  const count = () => callWords[CallWord.COUNT]!;
  assert.notEqual(calls.call(Method.STEP, 0, count), calls.call(Method.STEP, 0, count));
});

test('a call that a DMA has led to is a part of the call that does the DMA, and names its own model', () => {
  const [outer, inner] = [new ModelCalls('vfio1'), new ModelCalls('vfio2')];
  const [part, apart] = [outer.part('vfio3', true), outer.part('vfio4')];
  const words = () => [CallWord.CALL, CallWord.COUNT, CallWord.DMA].map((word) => callWords[word]!);
  outer.call(Method.STEP, undefined, () => {
    callWords[CallWord.DMA] = 1;
    const before = words();
    inner.call(Method.WRITE_BAR, undefined, () => {
      assert.equal(describeCall(now(), callNames), 'writeBar of vfio2');
      assert.deepEqual(words().slice(1), [before[1], 0]);
      assert.deepEqual(
        [outer, part, inner, apart].map(({ running }) => running),
        [true, true, true, false],
      );
    });
    assert.deepEqual(words(), before);
    assert.deepEqual(
      [outer, part, inner, apart].map(({ running }) => running),
      [true, true, false, false],
    );
  });
  assert.deepEqual([now(), outer.running], [0, false]);
});

test('what a model leaves behind is known to be its own', async () => {
  const module = new ModelCalls('./x.js');
  const part = module.part('vfio0');
  const owners: (ModelCalls | undefined)[] = [];
  const note = () => void owners.push(ModelCalls.ofNow());
  part.call(Method.STEP, undefined, () => void setTimeout(note, 1));
  part.call(Method.STEP, undefined, () => void Promise.resolve().then(note));
  void module.importing(async () => void setImmediate(note));
  part.call(Method.STEP, undefined, nothing);
  note();
  await until(() => owners.length === 4);
  assert.equal(owners[0], undefined);
  assert.deepEqual(new Set(owners.slice(1)), new Set([part, module]));
});

test('the words say whose callbacks Node calls, and that it has come to others between', async () => {
  ModelCalls.tellCallbacks();
  const calls = new ModelCalls('vfio8');
  const now = () => describeCall(callWords[CallWord.LATER]!, callNames);
  const seen: string[] = [];
  const see = () => void seen.push(now());
  await calls.importing(async () => {
    await undefined;
    see();
  });
  assert.equal(callWords[CallWord.LATER], 0);
  calls.call(Method.STEP, undefined, () => {
    setTimeout(see, 1);
    queueMicrotask(see);
    process.nextTick(() => queueMicrotask(see));
    void Promise.resolve().then(see).then(see);
  });
  await until(() => seen.length === 6 && callWords[CallWord.LATER] === 0);
  assert.deepEqual(seen, ['the import of vfio8', ...Array(5).fill('a timer, microtask or promise of vfio8')]);
});

test('callbacks of a model that make each other without end are one, however many', async () => {
  ModelCalls.tellCallbacks();
  const counts: number[] = [];
  await new ModelCalls('vfio8').importing(async () => {
    for (let n = 0; n < 100; n++) {
      await undefined;
      counts.push(callWords[CallWord.COUNT]!);
    }
  });
  await new Promise((resolve) => setImmediate(resolve));
  // At first what others have queued before is called too.
  assert.equal(new Set(counts.slice(50)).size, 1);
  assert.notEqual(callWords[CallWord.COUNT], counts[99]);
});

test('what a model throws is printed once, by whatever code it has for that', () => {
  const calls = new ModelCalls('vfio9');
  let printed = 0;
  const error = Object.defineProperty(new Error('why'), 'stack', { get: () => `printed ${++printed}` });
  calls.fail(error);
  assert.deepEqual(
    [calls.stack, calls.stack, calls.failure?.endsWith(': why')],
    ['printed 1', 'printed 1', true],
  );
});

test('a module that fails takes its devices with it, and a device no other', () => {
  const module = new ModelCalls('./x.js');
  const [one, two] = [module.part('vfio0'), module.part('vfio1')];
  one.fail(new Error('no'));
  assert.deepEqual([module.failure, one.failures, two.failures], [undefined, 1, 0]);
  module.fail('why');
  assert.match(two.failure!, /^the device model of vfio1 \(.\/x.js\) failed: why$/);
  assert.deepEqual([one.failures, two.failures, two.stack], [2, 1, 'why']);
  one.recover();
  assert.deepEqual([one.failure, one.failures], [undefined, 2]);
});

test('whatever is thrown has a sentence', () => {
  const unprintable = {
    toString() {
      throw new Error('no');
    },
  };
  for (const thrown of [undefined, null, Symbol('s'), unprintable, Object.create(null)]) {
    const calls = new ModelCalls('vfio0');
    const throws = () => {
      throw thrown;
    };
    calls.call(Method.STEP, undefined, throws);
    assert.match(calls.failure!, /^the device model of vfio0 failed: /);
  }
});
