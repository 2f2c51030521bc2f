import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  cacheIn,
  DEFAULT_FILL_SHARE,
  fillUpTo,
  groupsOf,
  keepingRoom,
  memoryRoom,
  takeRoom,
} from './memory-room.js';

const MIB = 2 ** 20;
const scratch = mkdtempSync(join(tmpdir(), 'ioasid-room-'));
after(() => rmSync(scratch, { recursive: true }));

const version2 = '31 23 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n';
const version1 = [
  '40 32 0:33 / /sys/fs/cgroup/cpu rw shared:17 - cgroup cgroup rw,cpu,cpuacct',
  '41 32 0:34 /docker/abc /sys/fs/cgroup/memory ro master:18 - cgroup cgroup rw,memory',
  '42 32 0:35 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw',
  '',
].join('\n');

test('the memory cgroups of a process are found, its own first, of both versions', () => {
  assert.deepEqual(groupsOf('0::/system.slice/ioasid.service\n', version2), [
    '/sys/fs/cgroup/system.slice/ioasid.service',
    '/sys/fs/cgroup/system.slice',
    '/sys/fs/cgroup',
  ]);
  assert.deepEqual(groupsOf('0::/\n', version2), ['/sys/fs/cgroup']);
  const both = '5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc/inner\n0::/\n';
  assert.deepEqual(groupsOf(both, version1), [
    '/sys/fs/cgroup/memory/inner',
    '/sys/fs/cgroup/memory',
    '/sys/fs/cgroup/unified',
  ]);
  assert.deepEqual(groupsOf('', version1), []);
});

test('page cache is that of the whole group, in the words of both versions', () => {
  assert.equal(cacheIn('anon 7\ninactive_file 10\nactive_file 5\nshmem 3\n'), 15);
  const one = 'inactive_file 1\nactive_file 2\ntotal_inactive_file 100\ntotal_active_file 200\n';
  assert.equal(cacheIn(one), 300);
  assert.equal(cacheIn(''), 0);
});

/** A machine with 1000 MiB, and a group with two levels, as files. */
function machine(available: number, own: readonly [limit: string, usage: number, cache: number]): string {
  const proc = mkdtempSync(join(scratch, 'proc-'));
  mkdirSync(join(proc, 'self'));
  mkdirSync(join(proc, 'groups/a'), { recursive: true });
  writeFileSync(join(proc, 'self/cgroup'), '0::/a\n');
  writeFileSync(join(proc, 'self/mountinfo'), `31 23 0:27 / ${proc}/groups rw - cgroup2 cgroup2 rw\n`);
  writeFileSync(join(proc, 'meminfo'), `MemTotal: 1024000 kB\nMemAvailable: ${available * 1024} kB\n`);
  writeFileSync(join(proc, 'groups/a/memory.max'), `${own[0]}\n`);
  writeFileSync(join(proc, 'groups/a/memory.current'), `${own[1] * MIB}\n`);
  writeFileSync(join(proc, 'groups/a/memory.stat'), `anon 5\ninactive_file ${own[2] * MIB}\nactive_file 0\n`);
  return proc;
}

test('a quarter of the group and of the machine stays free, and what is cached of files is free', () => {
  assert.equal(memoryRoom(machine(900, ['max', 500, 0])), 650 * MIB);
  assert.equal(memoryRoom(machine(900, [String(400 * MIB), 100, 0])), 200 * MIB);
  assert.equal(memoryRoom(machine(900, [String(400 * MIB), 350, 340])), 290 * MIB);
  assert.equal(memoryRoom(machine(900, [String(400 * MIB), 350, 10])), -40 * MIB);
  assert.equal(memoryRoom(machine(200, ['max', 0, 0])), -50 * MIB);
  assert.equal(memoryRoom(join(scratch, 'no proc')), Number.POSITIVE_INFINITY);
});

test('what is kept leaves an eighth of the group and of the machine free, of a large one 256 MiB', () => {
  assert.equal(keepingRoom(machine(900, ['max', 500, 0])), 775 * MIB);
  assert.equal(keepingRoom(machine(900, [String(400 * MIB), 100, 0])), 250 * MIB);
  assert.equal(keepingRoom(machine(900, [String(400 * MIB), 390, 10])), -30 * MIB);
  const large = 2 ** 20;
  assert.equal(keepingRoom(machine(900, [String(large * MIB), large - 1000, 0])), 744 * MIB);
});

test('another share stays free when it is told so, and with a share of 0 nothing can be had', () => {
  fillUpTo(50);
  assert.equal(memoryRoom(machine(900, [String(400 * MIB), 100, 0])), 100 * MIB);
  fillUpTo(0);
  assert.equal(takeRoom(1), false);
  fillUpTo(DEFAULT_FILL_SHARE);
  assert.equal(memoryRoom(machine(900, [String(400 * MIB), 100, 0])), 200 * MIB);
});
