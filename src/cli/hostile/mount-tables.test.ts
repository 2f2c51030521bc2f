/**
 * Callers with thousands of mounts, as anybody may have in a namespace of his own. Where a file lies is
 * looked for among the first of them: a call takes no longer with more.
 */
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { rulesOn } from '../../testkit/actor.js';
import { PAGE } from '../../testkit/dsa-actor.js';
import { self } from '../../testkit/processes.js';

const folder = mkdtempSync(join(tmpdir(), 'ioasid-mounts-'));
after(() => rmdirSync(folder));
const asRoot = process.geteuid?.() === 0 ? false : 'needs root to mount a filesystem';

/** Two filesystems with a file each, and between them mounts that double ten times. */
const script = `set -e; cd "$1"; shift
mount -t tmpfs none . && cd "$PWD" && mkdir many late && truncate -s ${PAGE} early
mount -t tmpfs none many
for n in 0 1 2 3 4 5 6 7 8 9; do mkdir many/$n; mount --rbind many many/$n; done
mount -t tmpfs none late && truncate -s ${PAGE} late/file
exec "$@"`;

const rule = await rulesOn({
  devices: ['edu'],
  runner: { ...self, skip: self.skip || asRoot },
  wrapper: ['unshare', '--mount', 'sh', '-c', script, 'sh', folder],
});

rule(
  'a file is mapped that lies on one of the first mounts of its caller; on one behind 32 KiB it is EINVAL',
  async (actor) => {
    const fd = await actor.do('open /dev/ioasid');
    const pasid = await actor.do(`alloc ${fd} 0`);
    const map = async (path: string) =>
      `mapfile ${fd} ${pasid} ${await actor.do(`open ${join(folder, path)} rw`)} 0 ${PAGE} 3`;
    await actor.words(await map('early'));
    await actor.refused(await map('late/file'), 'EINVAL', fd, /nor the caller as one of his first/);
    const memory = await actor.do(`memfd ${PAGE}`);
    await actor.words(`mapfile ${fd} ${pasid} ${memory} 0 ${PAGE} 3`);
  },
);
