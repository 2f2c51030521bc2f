/** What a server holds for the files that are open is charged to who has opened them, and given back. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { Account } from '../linux/account.js';
import { Child } from '../testkit/child.js';
import { Mounted, mountingIsAllowed, until } from '../testkit/mounted.js';
import { openFiles } from './file-requests.js';

const O_RDWR = 2;
const ENFILE = 23;
const timeout = 60_000;

if (mountingIsAllowed(import.meta.url)) {
  const opener = `user ${process.geteuid?.()}`;
  let mounted: Mounted;
  let child: Child;

  before(() => {
    mounted = new Mounted();
  });
  after(() => mounted.stop());
  beforeEach(() => {
    child = new Child();
  });
  afterEach(async () => {
    await child.kill();
    await until(() => Account.all().length === 0);
  });

  const open = (name: string) => child.call('open', mounted.path(name), O_RDWR, 0);

  test('who has opened all the files that he may is ENFILE, and again after a close is not', {
    timeout,
  }, async () => {
    const fd = await open('plain');
    assert.ok(fd >= 0);
    const account = Account.of(opener);
    assert.deepEqual(account.holds, { 'open files': 1 });
    const rest = (openFiles.total * 3) / 4 - 1;
    account.take(openFiles, rest);
    assert.equal(await open('plain'), -ENFILE);
    assert.equal(
      mounted.calls.at(-1)?.reason,
      `what ${opener} has opened holds 786432 open files of the server, of at most 786432 that others leave`,
    );
    await child.call('close', fd);
    await until(() => account.holds['open files'] === rest);
    assert.ok((await open('plain')) >= 0);
    account.give(openFiles, rest);
  });
}
