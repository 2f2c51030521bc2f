import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { compile, missingCompiler } from '../testkit/c-program.js';
import { missingRecords } from './records.js';

describe('records of a guest', { skip: missingCompiler() }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-records-'));
  after(() => rmSync(folder, { recursive: true }));
  const [disk, count] = [join(folder, 'disk.img'), 64];
  closeSync(openSync(disk, 'w'));
  truncateSync(disk, count * 4096);
  const source = readFileSync(new URL('../../qemu/records.c', import.meta.url), 'utf8');
  const program = compile('records.c', source);

  it('are all found once they are written, and those of no other round', () => {
    assert.equal(missingRecords(disk, 7, count).length, count);
    const said = execFileSync(program, [disk, '7'], { encoding: 'utf8' });
    assert.match(said, /\nflushed 64\n$/);
    assert.deepEqual(missingRecords(disk, 7, count), []);
    assert.equal(missingRecords(disk, 8, count).length, count);
  });

  it('are missed when a bit of them is wrong', () => {
    const bytes = readFileSync(disk);
    bytes[5 * 4096 + 100]! ^= 1;
    writeFileSync(disk, bytes);
    // 35 strides end at place 5 of 64.
    assert.deepEqual(missingRecords(disk, 7, count), [35]);
  });
});
