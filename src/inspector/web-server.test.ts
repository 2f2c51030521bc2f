import assert from 'node:assert/strict';
import { type IncomingHttpHeaders, request } from 'node:http';
import { connect } from 'node:net';
import { after, test } from 'node:test';
import { Refusal } from '../linux/errno.js';
import { WebServer } from './web-server.js';

const news = { whole: false, frames: [], events: [], next: { frames: 0, events: 0 }, ended: false };
const server = await WebServer.listen(0, 'secret', {
  news: () => Promise.resolve(news),
  ask: () => Promise.resolve({ checks: [] }),
});
after(() => server.close());

interface Got {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

function get(path: string, cookie = '', host = '127.0.0.1'): Promise<Got> {
  return new Promise((resolve, reject) => {
    const sent = request({ host, port: server.port, path, headers: { cookie }, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        body += part;
      });
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
    });
    sent.on('error', reject).end();
  });
}

test('who has the token gets a cookie and is sent to the page, whose URL has no token', async () => {
  const { status, headers } = await get('/?token=secret');
  assert.deepEqual([status, headers.location], [303, '/']);
  const cookie = headers['set-cookie']![0]!.split(';')[0]!;
  const page = await get('/', cookie);
  assert.equal(page.status, 200);
  assert.match(page.body, /<title>ioasid/);
  assert.match(
    page.headers['content-security-policy'] as string,
    /default-src 'none'.*frame-ancestors 'none'/,
  );
  assert.equal(page.headers['referrer-policy'], 'no-referrer');
  assert.deepEqual(JSON.parse((await get('/news?frames=0&events=0', cookie)).body), news);
  assert.equal((await get('/news?frames=-1', cookie)).status, 400);
  assert.equal((await get('/../package.json', cookie)).status, 404);
});

test('without the cookie there is nothing, not the script of the page either', async () => {
  for (const path of ['/', '/main.js', '/news', '/ask?ask=walk', '/no'])
    assert.equal((await get(path)).status, 403, path);
});

test('a port that is in use is refused with a sentence', async () => {
  const content = { news: () => Promise.resolve(news), ask: () => Promise.resolve({ checks: [] }) };
  await assert.rejects(WebServer.listen(server.port, 'x', content), (error: Error) => {
    return error instanceof Refusal && error.reason === `port ${server.port} of 127.0.0.1 is in use`;
  });
});

test('a browser that says nothing keeps nobody else waiting', async () => {
  const silent = [1, 2, 3, 4].map(() => connect(server.port, '127.0.0.1'));
  for (const socket of silent) socket.write('GET / HTTP/1.1\r\n');
  assert.equal((await get('/?token=secret')).status, 303);
  for (const socket of silent) socket.destroy();
});
