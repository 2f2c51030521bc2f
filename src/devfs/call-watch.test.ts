import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CallWord, METHODS, Method } from '../devices/call-words.js';
import { CallWatch, LONGEST_CALL_MS, LONGEST_LOAD_MS } from './call-watch.js';
import type { Progress } from './standstill.js';

const NAMES = new TextEncoder().encode('vfio0\nvfio1\n');
/** `step` of the second. */
const STEP = 2 * METHODS + Method.STEP;
const LOOK_MS = 5;

/** A thread that computes at each look, or waits. */
const computes = (look: number) => ({ computed: look * LOOK_MS, waits: false });
const waits = () => ({ computed: 0, waits: true });

/** A watch that has looked every 5 ms of three times `longest`; `change` is made before each look. */
function watched(
  change: (words: Int32Array, look: number) => void,
  longest = LONGEST_CALL_MS,
  progress: (look: number) => Progress = computes,
): string[] {
  const words = new Int32Array(new SharedArrayBuffer(64));
  let look = 0;
  const watch = new CallWatch({ words, names: NAMES }, () => progress(look));
  const said: string[] = [];
  for (; look * LOOK_MS < 3 * longest; look++) {
    change(words, look);
    const call = watch.overdue(1000 + look * LOOK_MS);
    if (call !== undefined) said.push(call);
  }
  return said;
}

const stuck = (words: Int32Array) => {
  words[CallWord.CALL] = STEP;
  words[CallWord.COUNT] = 7;
};

test('one call that goes on is named, and only from 2 s on', () => {
  for (const progress of [computes, waits]) {
    const said = watched(stuck, LONGEST_CALL_MS, progress);
    assert.deepEqual(new Set(said), new Set(['step of vfio1 has not returned for 2 s']));
    assert.equal(said.length, (2 * LONGEST_CALL_MS) / LOOK_MS - 1);
  }
});

test('a call whose thread gets no processor, or is stopped, may take as long as it likes', () => {
  const starved = watched(stuck, LONGEST_CALL_MS, (look) => ({ computed: look, waits: false }));
  assert.deepEqual(starved, []);
  const words = new Int32Array(new SharedArrayBuffer(64));
  stuck(words);
  const watch = new CallWatch({ words, names: NAMES }, waits);
  // Who looks is stopped with it.
  for (let look = 0; look < 10; look++) assert.equal(watch.overdue(look * 10_000), undefined);
});

test('calls that end are none, however long they come one after the other; nor is no call', () => {
  const many = watched((words, look) => {
    words[CallWord.CALL] = STEP;
    words[CallWord.COUNT] = look;
  });
  assert.deepEqual([many, watched(() => undefined)], [[], []]);
});

test('a DMA that waits is not the call of the model, and a model that loops around its DMA is', () => {
  const waits = watched((words) => {
    stuck(words);
    words[CallWord.DMA] = 1;
  });
  assert.deepEqual(waits, []);
  const loops = watched((words, look) => {
    stuck(words);
    words[CallWord.DMA] = 2 * look + 1;
  });
  assert.deepEqual(new Set(loops), new Set(['step of vfio1 has not returned for 2 s']));
});

test('what a model has left behind is named as long as Node calls back nobody else', () => {
  const loops = watched((words) => {
    words[CallWord.COUNT] = 7;
    words[CallWord.LATER] = METHODS + Method.LATER;
  });
  assert.deepEqual(
    new Set(loops),
    new Set(['a timer, microtask or promise of vfio0 has not returned for 2 s']),
  );
  const goesRound = watched((words, look) => {
    words[CallWord.LATER] = METHODS + Method.LATER;
    if (look % 100 === 0) words[CallWord.COUNT]!++;
  });
  assert.deepEqual(goesRound, []);
});

test('an import, and the making of a model, may take 10 s', () => {
  for (const method of [Method.IMPORT, Method.FACTORY]) {
    const said = watched((words) => {
      words[CallWord.COUNT] = 7;
      words[CallWord.LATER] = METHODS + method;
    }, LONGEST_LOAD_MS);
    assert.equal(said.length, (2 * LONGEST_LOAD_MS) / LOOK_MS - 1);
    assert.match(said[0]!, /^the (import|factory) of vfio0 has not returned for 10 s$/);
  }
});

test('the last access of a device that hangs is told: what it is in, or what came before', () => {
  const said = (call: number) =>
    watched((words) => {
      stuck(words);
      words.set([2 * METHODS + Method.WRITE_BAR, 1, 0x10, 1, 4, 7, 0], CallWord.ACCESS);
      words[CallWord.CALL] = call;
    })[0];
  const access = 'a write of 4 bytes, 0x00000007, at 0x100000010 of BAR 1';
  assert.equal(
    said(2 * METHODS + Method.WRITE_BAR),
    `writeBar of vfio1 has not returned for 2 s, in ${access}`,
  );
  assert.equal(said(STEP), `step of vfio1 has not returned for 2 s, after ${access}`);
  assert.equal(said(METHODS + Method.STEP), 'step of vfio0 has not returned for 2 s');
});

test('nothing is said while a debugger may stop the thread', () => {
  const said = watched((words) => {
    stuck(words);
    words[CallWord.DEBUGGED] = 1;
  });
  assert.deepEqual(said, []);
});
