import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CallWord, METHODS, Method } from '../devices/call-words.js';
import { CallWatch, LONGEST_CALL_MS } from './call-watch.js';

const NAMES = new TextEncoder().encode('vfio0\nvfio1\n');
/** `step` of the second. */
const STEP = 2 * METHODS + Method.STEP;
const LOOK_MS = 5;

/** A watch that has looked every 5 ms of three times the longest call; `change` is made before each look. */
function watched(change: (words: Int32Array, look: number) => void): string[] {
  const words = new Int32Array(new SharedArrayBuffer(16));
  const watch = new CallWatch({ words, names: NAMES });
  const said: string[] = [];
  for (let look = 0; look * LOOK_MS < 3 * LONGEST_CALL_MS; look++) {
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
  const said = watched(stuck);
  assert.deepEqual(new Set(said), new Set(['step of vfio1']));
  assert.equal(said.length, (2 * LONGEST_CALL_MS) / LOOK_MS);
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
  assert.deepEqual(new Set(loops), new Set(['step of vfio1']));
});

test('nothing is said while a debugger may stop the thread', () => {
  const said = watched((words) => {
    stuck(words);
    words[CallWord.DEBUGGED] = 1;
  });
  assert.deepEqual(said, []);
});
