import assert from 'node:assert/strict';
import { readFileSync, readlinkSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { Child, descriptors } from '../testkit/child.js';
import { identifyDescriptor } from './fd-identity.js';
import { haveOwnProc, procFile } from './own-proc.js';

const skip = process.geteuid?.() === 0 ? false : 'needs root to mount a procfs';

test('a procfs of its own says what /proc says, in folders that nobody else has', { skip }, async (t) => {
  const child = new Child();
  t.after(() => child.kill());
  const fd = await child.memfd('file', 4096);
  const before = identifyDescriptor(child.pid, fd);
  assert.equal(procFile(child.pid, 'comm'), `/proc/${child.pid}/comm`);
  const open = descriptors().length;
  assert.ok(haveOwnProc());
  assert.ok(haveOwnProc());
  assert.equal(descriptors().length, open + 1);
  const folder = procFile(child.pid, '');
  assert.notEqual(statSync(folder).dev, statSync(`/proc/${child.pid}`).dev);
  assert.equal(statSync(folder).uid, statSync(`/proc/${child.pid}`).uid);
  const status = readFileSync(`/proc/${child.pid}/status`, 'latin1').split('\n').slice(0, 6);
  assert.deepEqual(readFileSync(procFile(child.pid, 'status'), 'latin1').split('\n').slice(0, 6), status);
  assert.equal(readlinkSync(procFile(child.pid, `fd/${fd}`)), '/memfd:file (deleted)');
  assert.deepEqual(identifyDescriptor(child.pid, fd), before);
});
