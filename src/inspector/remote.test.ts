/** The other end of a subject: it asks again as soon as it was answered. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { Remote } from './remote.js';

/** Both ends of a connection. */
async function connected(path: string): Promise<readonly [Socket, Socket]> {
  const server = createServer().listen(path);
  await once(server, 'listening');
  const [[there], here] = await Promise.all([once(server, 'connection') as Promise<[Socket]>, connect(path)]);
  server.close();
  return [here, there];
}

test('a look that has cost the server an hour is followed by the next, which waits there', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-'));
  const [here, there] = await connected(join(folder, 'socket'));
  t.after(() => {
    here.destroy();
    there.destroy();
    rmSync(folder, { recursive: true });
  });
  let version = 0;
  createInterface(there).on('line', () => {
    version++;
    there.write(`${JSON.stringify({ pulled: { version, time: version, same: true, cost: 3_600_000 } })}\n`);
  });
  const seen: number[] = [];
  for await (const pulled of new Remote(here).pulls()) {
    seen.push(pulled.version);
    if (seen.length === 3) break;
  }
  assert.deepEqual(seen, [1, 2, 3]);
});
