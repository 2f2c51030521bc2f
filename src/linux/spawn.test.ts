import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exitOf, spawn } from './spawn.js';

test('who waits for the end of a process gets its status, or the signal that ended it', () => {
  const shell = (script: string) => spawn(['/bin/sh', '-c', script], process.env, new Map());
  assert.equal(exitOf(shell('exit 3')), 3);
  assert.equal(exitOf(shell('kill -9 $$')), 137);
  assert.throws(() => exitOf(process.pid), { code: 'ECHILD' });
});
