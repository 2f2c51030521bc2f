/**
 * Anybody may connect to the sockets by which a server is asked, and send descriptors along. The server would
 * have to close them, and a close of a TCP socket that lingers takes as long as its owner likes.
 */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { sendDescriptor } from '../../linux/fd-passing.js';
import { connectTo } from '../../linux/local-socket.js';
import { cannotRefuseRights } from '../../testkit/passing-rights.js';
import { Running, withoutFuse } from '../../testkit/processes.js';
import { refused } from '../../testkit/refused.js';

const NAME_BYTES = 108;

test('nobody can give a server descriptors that it would have to close', {
  skip: withoutFuse || cannotRefuseRights,
  timeout: 60_000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-given-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const server = Running.ioasid(['serve', '--device', 'edu', folder]);
  t.after(() => server.kill('SIGKILL'));
  await server.says(join(folder, 'ioasid'));
  const file = openSync('/dev/null', 'r');
  for (const kind of ['ioasid', 'ioasid-trace', 'ioasid-inspect']) {
    const name = `\0${kind}/${process.geteuid?.()}/${server.pid}`.padEnd(NAME_BYTES, '\0');
    const socket = connectTo(name);
    refused(() => sendDescriptor(socket, file), 'EPERM', /cannot be sent/);
    closeSync(socket);
  }
  closeSync(file);
  server.kill('SIGTERM');
  assert.deepEqual(await server.ended, { status: 0, signal: null }, server.output);
});
