/** `--inspect` on real runs: who gets the page, and that nobody who looks is in a program's way. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { ioasid, Running, runner, withoutFuse } from '../../testkit/processes.js';
import { launchMode } from '../launcher-process.js';

const folder = mkdtempSync(join(tmpdir(), 'ioasid-inspect-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** The address that `server` says, when it says it. */
async function addressOf(server: Running): Promise<URL> {
  await server.says('/?token=');
  return new URL(/http:\S+/.exec(server.output)![0]);
}

/** The cookie that the token becomes. */
async function enter(address: URL): Promise<string> {
  const { status, headers } = await fetch(address, { redirect: 'manual' });
  assert.equal(status, 303);
  return headers.get('set-cookie')!.split(';')[0]!;
}

/** What the page is told first. */
async function news({ origin }: URL, cookie: string): Promise<string> {
  const answer = await fetch(`${origin}/news?frames=0&events=0`, { headers: { cookie } });
  assert.equal(answer.status, 200);
  return await answer.text();
}

const withoutMount = withoutFuse || (launchMode() === 'root' ? false : 'mounting for all needs root here');

describe('serve --inspect', { skip: withoutMount }, () => {
  it('shows the devices of the server to whoever has its token, and to nobody else', async () => {
    const server = Running.ioasid(['serve', '--inspect', '--device', 'edu', join(folder, 'files')]);
    const address = await addressOf(server);
    assert.equal((await fetch(address.origin)).status, 403);
    assert.match(await news(address, await enter(address)), /vfio0/);
    server.kill('SIGINT');
    assert.deepEqual(await server.ended, { status: 0, signal: null });
  });
});

/** Opens and refuses as often as it reads a line. */
const opener = ['sh', '-c', 'while read line; do cat /dev/ioasid 2>/dev/null; echo "again $line"; done'];

describe('run --inspect', { skip: runner.skip }, () => {
  it('a port in use ends it with 125 and a sentence, before its command', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as { port: number };
    const { stdout, stderr, status } = ioasid(['run', `--inspect=${port}`, '--', 'echo', 'here'], runner);
    other.close();
    assert.deepEqual([stdout, status], ['', 125]);
    assert.match(stderr, new RegExp(`--inspect: .*port ${port} of 127\\.0\\.0\\.1 is in use`));
  });

  it('browsers that say nothing, stop in a request or take no answer are in nobody’s way', async (t) => {
    const running = Running.ioasid(['run', '--inspect', '--device', 'edu', '--', ...opener], runner);
    const address = await addressOf(running);
    const cookie = await enter(address);
    const headers = `Host: ${address.host}\r\nCookie: ${cookie}\r\n\r\n`;
    const request = `GET /news?frames=0&events=0 HTTP/1.1\r\n${headers}`;
    const stalled = ['', request.slice(0, 20), request, request.repeat(20)].map((said) => {
      const socket: Socket = connect(Number(address.port), '127.0.0.1').pause();
      socket.on('error', () => undefined).write(said);
      return socket;
    });
    t.after(() => stalled.map((socket) => socket.destroy()));
    for (let n = 0; n < 20; n++) {
      running.process.stdin.write(`${n}\n`);
      await running.says(`again ${n}`);
    }
    assert.match(await news(address, cookie), /vfio0/);
    running.process.stdin.end();
    assert.deepEqual(await running.ended, { status: 0, signal: null });
  });
});
