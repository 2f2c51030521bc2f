import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { cannotRefuseRights } from '../testkit/passing-rights.js';
import { refused } from '../testkit/refused.js';
import { sendDescriptor } from './fd-passing.js';
import { connectTo, listenAt, socketOf } from './local-socket.js';

/** An abstract name. */
const NAME = `\0ioasid-test/${process.pid}`;

test('what either end writes comes to the other, by a path and by an abstract name', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-local-'));
  for (const name of [NAME, join(folder, 'socket')]) {
    const server = createServer((socket) => socket.end('from the server'));
    server.listen({ fd: listenAt(name) });
    refused(() => listenAt(name), 'EADDRINUSE', /ioasid-/);
    const client: Socket = socketOf(connectTo(name));
    let said = '';
    for await (const part of client) said += part;
    assert.equal(said, 'from the server');
    await new Promise((closed) => server.close(closed));
    refused(() => connectTo(name), 'ECONNREFUSED', /nobody can be reached at ".*ioasid-/);
  }
  refused(() => connectTo(join(folder, 'none')), 'ENOENT', /none/);
  refused(() => connectTo('x'.repeat(200)), 'ENAMETOOLONG', /too long/);
  rmSync(folder, { recursive: true });
});

test('no descriptor can be sent to who listens, nor to who is connected', {
  skip: cannotRefuseRights,
}, async () => {
  const file = openSync('/dev/null', 'r');
  const listening = createServer();
  listening.listen({ fd: listenAt(NAME) });
  const client = connectTo(NAME);
  refused(() => sendDescriptor(client, file), 'EPERM', /cannot be sent/);

  // One whose listener takes them.
  // Some versions of Node pad a name, others do not.
  const name = `${NAME}/other`.padEnd(108, '\0');
  const other = createServer().listen(name);
  const there = connectTo(name);
  const [accepted] = (await once(other, 'connection')) as [Socket];
  const { fd } = (accepted as unknown as { _handle: { fd: number } })._handle;
  refused(() => sendDescriptor(fd, file), 'EPERM', /cannot be sent/);
  sendDescriptor(there, file);

  accepted.destroy();
  for (const each of [client, there, file]) closeSync(each);
  for (const server of [listening, other]) await new Promise((closed) => server.close(closed));
});
