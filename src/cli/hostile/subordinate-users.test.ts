/**
 * A user who is many: /etc/subuid gives him uids beside his own, and he opens files as each of them.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { rulesOn } from '../../testkit/actor.js';
import { self } from '../../testkit/processes.js';
import { launchMode } from '../launcher-process.js';

const GREEDY = 65534;
const FIRST = 200_000;
const OTHER = 1;
const SUBUID = '/etc/subuid';

const folder = mkdtempSync(join(tmpdir(), 'ioasid-subuid-'));
after(() => rmSync(folder, { recursive: true }));
const table = join(folder, 'subuid');
writeFileSync(table, `${GREEDY}:${FIRST}:100\n`);

const skip = () => {
  if (launchMode() !== 'root' || self.uid !== 0) return 'users are told apart by root alone';
  return existsSync(SUBUID) ? self.skip : `there is no ${SUBUID} to mount over`;
};
const rule = await rulesOn({
  devices: ['edu'],
  runner: {
    prefix: ['unshare', '--mount', 'sh', '-c', `mount --bind ${table} ${SUBUID} && exec "$@"`, 'sh'],
    uid: 0,
    skip: skip(),
  },
});

rule('what a user opens as one of his subordinate users is charged to himself', async (actor) => {
  const users = [GREEDY, FIRST, FIRST + 99, FIRST + 100, OTHER];
  for (const uid of users) {
    const child = await actor.fork();
    await child.words(`setuid ${uid}`);
    await child.do(`alloc ${await child.do('open /dev/ioasid')} 0`);
  }
  const { openers } = await actor.run.state();
  const opened = new Map(openers.map(({ opener, holds }) => [opener, holds.PASIDs]));
  const expected = new Map([
    [`user ${GREEDY}`, 3],
    [`user ${FIRST + 100}`, 1],
    [`user ${OTHER}`, 1],
  ]);
  assert.deepEqual(opened, expected);
});
