import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ioasid, runner } from '../testkit/processes.js';

const cat = ['--device', 'edu', '--', 'cat', '/dev/ioasid'];

describe('run --trace', { skip: runner.skip }, () => {
  it('prints each call of the command, with its program, descriptor, result and reason', () => {
    const { stderr } = ioasid(['run', '--trace', ...cat], runner);
    assert.match(stderr, /^[\d:.]{12} cat\[\d+\] open\("\/dev\/ioasid"\) = 0 <0\.\d{6}>$/m);
    assert.match(
      stderr,
      /^\S+ cat\[\d+\] read\(3<\/dev\/ioasid>, "", \d+\) = -1 EAGAIN <0\.\d{6}>: there are no page faults/m,
    );
    assert.match(stderr, /^\S+ release\(<\/dev\/ioasid>\) = 0 <0\.\d{6}>$/m);
  });

  it('shows what -e names, as JSON in a file that the command does not get', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'ioasid-')), 'trace');
    const list = ['--device', 'edu', '--', 'sh', '-c', 'ls -l /proc/self/fd; exec cat /dev/ioasid'];
    const { stdout, stderr } = ioasid(['run', '-e', 'error', '--json', '-o', file, ...list]);
    assert.ok(!stdout.includes('trace'), stdout);
    assert.match(stderr, /^cat: .*\n$/);
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    const [event] = lines.map((line) => JSON.parse(line));
    assert.deepEqual([lines.length, event.call, event.fd, event.error], [1, 'read', 3, 'EAGAIN']);
    assert.equal(statSync(file).mode & 0o777, 0o600);
  });

  it('an option that is not understood ends it with 125 before the command', () => {
    for (const wrong of [
      ['-e', 'calls'],
      ['-o', '/no/folder/trace'],
    ]) {
      const { status, stdout, stderr } = ioasid(['run', ...wrong, '--', 'echo', 'here'], runner);
      assert.deepEqual([status, stdout], [125, '']);
      assert.match(stderr, /^ioasid: E[A-Z]+: "/);
    }
  });
});
