/**
 * Disks that take their time, here to say that they have what was written: who ends the work of one's device
 * waits for it, and nobody else does.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { compile, missingCompiler } from '../../testkit/c-program.js';
import { shell, withoutFuse } from '../../testkit/processes.js';

/**
 * The server's fdatasync(2): of a file called fast it has ended at once; else it says that it has begun, and
 * ends when it is told to.
 */
const SLOW = `
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int fdatasync(int fd)
{
	char link[64], path[4096] = "";

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	if (readlink(link, path, sizeof path - 1) > 0 && strstr(path, "/fast") != NULL)
		return 0;
	close(open(getenv("SYNCING"), O_CREAT | O_WRONLY, 0666));
	while (access(getenv("SYNCED"), F_OK) != 0)
		usleep(1000);
	return 0;
}
`;

const example = readFileSync(new URL('../../../examples/vdpa.c', import.meta.url), 'utf8');
const CALLED = 'read(called, &count, sizeof count) != sizeof count';

const HEAD = `
#pragma GCC diagnostic ignored "-Wpedantic"
#include <stdlib.h>
#include <unistd.h>
`;

const BEGUN = `${HEAD}
static void begun(void)
{
	while (access(getenv("SYNCING"), F_OK) != 0)
		usleep(1000);
}
`;

/** A program that asks its disk for a flush, and makes a call when that has begun. */
function flushing(name: string, call: string): string {
  assert.ok(example.includes(CALLED));
  const flush = example.replace('VIRTIO_BLK_T_IN', 'VIRTIO_BLK_T_FLUSH');
  return compile(`${name}.c`, BEGUN + flush.replace(CALLED, `(begun(), ${call}) != 0`));
}

describe('a disk that does not say that it has what was written', {
  skip: withoutFuse || missingCompiler(),
}, () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'ioasid-slow-'));
    writeFileSync(join(folder, 'disk'), '');
    truncateSync(join(folder, 'disk'), 1 << 20);
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  for (const [what, name, call] of [
    ['SUSPEND', 'suspend', 'ioctl(device, VHOST_VDPA_SUSPEND)'],
    ['disabling the queue', 'disable', 'ioctl(device, VHOST_VDPA_SET_VRING_ENABLE, (unsigned[]){0, 0})'],
    ['a close', 'close', 'close(device)'],
  ] as const)
    it(`is waited for by ${what}, and others are served`, () => {
      const inside =
        '"$1" >"$2/said" & until [ -e "$SYNCING" ]; do sleep 0.01; done; ' +
        'for n in 1 2 3 4 5 6 7 8; do sleep 0.05; : <>/dev/ioasid; done; ' +
        'cat "$2/said"; echo served; : >"$SYNCED"; wait $!; cat "$2/said"';
      const { status, stdout, stderr } = shell(
        `export SYNCING=${folder}/syncing SYNCED=${folder}/synced; ` +
          `LD_PRELOAD=${compile('slow.c', SLOW, { linkage: 'shared' })} ` +
          `$IOASID run -d virtio-blk,file=${folder}/disk -- ` +
          `sh -c '${inside}' sh ${flushing(name, call)} ${folder}`,
      );
      assert.deepEqual([status, stdout.trim().split('\n'), stderr], [0, ['served', 'status 0:'], '']);
    });

  it('keeps no other disk, however many are slow', () => {
    const slow = Array.from({ length: 8 }, (_, n) => `slow${n}`);
    for (const name of [...slow, 'fast']) {
      writeFileSync(join(folder, name), '');
      truncateSync(join(folder, name), 1 << 20);
    }
    const device = 'open("/dev/vhost-vdpa-0"';
    assert.ok(example.includes(device));
    const flush = example
      .replace('VIRTIO_BLK_T_IN', 'VIRTIO_BLK_T_FLUSH')
      .replace(device, 'open(getenv("DISK")');
    const program = compile('flush.c', HEAD + flush);
    const inside =
      'for n in 0 1 2 3 4 5 6 7; do DISK=/dev/vhost-vdpa-$n "$1" >/dev/null & done; ' +
      'until [ -e "$SYNCING" ]; do sleep 0.01; done; sleep 0.5; ' +
      'DISK=/dev/vhost-vdpa-8 "$1"; echo served; : >"$SYNCED"; wait';
    const devices = [...slow, 'fast'].map((name) => `-d virtio-blk,file=${folder}/${name}`).join(' ');
    const { status, stdout, stderr } = shell(
      `export SYNCING=${folder}/syncing SYNCED=${folder}/synced; ` +
        `LD_PRELOAD=${compile('slow.c', SLOW, { linkage: 'shared' })} ` +
        `$IOASID run ${devices} -- sh -c '${inside}' sh ${program}`,
    );
    assert.deepEqual([status, stdout.trim().split('\n'), stderr], [0, ['status 0: ', 'served'], '']);
  });
});
