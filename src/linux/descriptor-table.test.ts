import assert from 'node:assert/strict';
import { closeSync, existsSync, openSync, readlinkSync } from 'node:fs';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';

/**
 * Leaves the shared table, and tells what it has closed on the way, in that order. One connection is opened
 * at the last moment, as by another thread.
 */
const worker = `
  const { parentPort, workerData } = require('node:worker_threads');
  const { openSync, readlinkSync } = require('node:fs');
  Promise.all(workerData.map((url) => import(url))).then(([{ closeOthers, leaveSharedTable }, { libc }]) => {
    const { close, unshare } = libc();
    const closed = [];
    let late;
    libc().unshare = (flags) => {
      late = openSync('/dev/fuse', 'r+');
      return unshare(flags);
    };
    libc().close = (fd) => {
      try {
        closed.push(readlinkSync('/proc/thread-self/fd/' + fd));
      } catch {}
      return close(fd);
    };
    leaveSharedTable([2]);
    closeOthers([2]);
    Object.assign(libc(), { close, unshare });
    parentPort.postMessage({ closed, late });
  });`;
const modules = ['descriptor-table.js', 'ffi.js'].map((name) => new URL(name, import.meta.url).href);

test('who leaves the shared table closes the connections in it before files, and nothing of the others', {
  skip: existsSync('/dev/fuse') ? false : 'there is no /dev/fuse',
}, async () => {
  // The lowest number is the file's.
  const file = openSync(import.meta.filename, 'r');
  const connection = openSync('/dev/fuse', 'r+');
  assert.ok(file < connection);
  const thread = new Worker(worker, { eval: true, workerData: modules, stdout: true, stderr: true });
  const { closed, late } = await new Promise<{ closed: string[]; late: number }>((resolve, reject) => {
    thread.once('message', resolve);
    thread.once('error', reject);
  });
  assert.deepEqual(closed.slice(0, 2), ['/dev/fuse', '/dev/fuse']);
  assert.ok(closed.includes(import.meta.filename));
  for (const fd of [file, connection, late]) {
    assert.ok(readlinkSync(`/proc/self/fd/${fd}`) !== '');
    closeSync(fd);
  }
  await thread.terminate();
});
