/** Addresses that are given to C. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { Errno } from './errno.js';
import { address, KOFFI, lastErrno, libc, loadKoffi, viewMemory } from './ffi.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

test('an array of any length stays where its address was, whatever is collected', () => {
  const arrays = Array.from({ length: 2000 }, (_, i) => new Uint8Array(1 + (i % 130)).fill(i));
  const addresses = arrays.map((array) => address(array));
  for (let round = 0; round < 4; round++) {
    // What was made in between is garbage, so that what is left has reason to move.
    Array.from({ length: 20_000 }, (_, i) => ({ i }));
    collect();
  }
  for (const [i, array] of arrays.entries()) {
    assert.equal(address(array), addresses[i]);
    assert.deepEqual(viewMemory(addresses[i]!, array.length), array);
  }
});

test('errno is that of the call that this thread has made last', async () => {
  const missing = () => libc().access('/no such file', 0);
  const refused = [missing(), lastErrno(), libc().close(-1), lastErrno(), missing(), lastErrno()];
  assert.deepEqual(refused, [-1, Errno.ENOENT, -1, Errno.EBADF, -1, Errno.ENOENT]);
  const module = JSON.stringify(new URL('./ffi.js', import.meta.url).href);
  const other = `import(${module}).then(({ libc, lastErrno }) => {
    libc().close(-1);
    require('node:worker_threads').parentPort.postMessage(lastErrno());
  })`;
  const worker = new Worker(other, { eval: true });
  const [said] = await once(worker, 'message');
  missing();
  assert.deepEqual([said, lastErrno(), loadKoffi().errno()], [Errno.EBADF, Errno.ENOENT, Errno.ENOENT]);
  await worker.terminate();
  missing();
  assert.equal(lastErrno(), Errno.ENOENT);
});

test('the version of koffi that is looked for is the one that is installed with us', () => {
  const { dependencies } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  assert.deepEqual([KOFFI, loadKoffi().version], [dependencies.koffi, dependencies.koffi]);
});

/** What getsid(2) answers in a process where `require` of koffi's package for this platform is `changed`. */
function sessionWhere(changed: string): number {
  const hook = `
    const Module = require('node:module');
    const load = Module._load;
    let asked = 0;
    Module._load = function (name, ...more) {
      if (!name.startsWith('@koromix/') || asked++ > 0) return load.call(this, name, ...more);
      ${changed}
    };
    import(${JSON.stringify(new URL('./ffi.js', import.meta.url).href)}).then(({ libc }) => {
      const session = libc().getsid(0);
      console.log(asked > 0 ? session : 'nobody has asked for it');
    });`;
  return Number(execFileSync(process.execPath, ['-e', hook], { encoding: 'utf8' }));
}

test('where koffi is another, or not beside us, it is found by itself', () => {
  const expected = libc().getsid(0);
  assert.equal(sessionWhere("throw new Error('there is none')"), expected);
  assert.equal(sessionWhere("return { version: '0.0.0' };"), expected);
});
