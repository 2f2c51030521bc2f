import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gate } from './gate.js';

const gate = new Gate('secret', 4711);
const host = '127.0.0.1:4711';
const cookie = 'ioasid-4711=secret';

function judged(headers: Record<string, string>, url = '/', method = 'GET') {
  const verdict = gate.judge({ method, url, headers });
  return verdict.kind === 'refuse' ? verdict.status : verdict.kind;
}

test('the token enters, and becomes a cookie that only pages of this server can send', () => {
  const verdict = gate.judge({ method: 'GET', url: '/?token=secret', headers: { host } });
  assert.deepEqual(verdict, { kind: 'enter', cookie: `${cookie}; HttpOnly; SameSite=Strict; Path=/` });
  assert.equal(judged({ host, cookie: `other=1; ${cookie}` }), 'serve');
});

test('without the token, or with another one, nothing is served', () => {
  assert.equal(judged({ host }), 403);
  assert.equal(judged({ host, cookie }, '/?token=secre'), 403);
  for (const wrong of ['ioasid-4711=', 'ioasid-4711=secrets', 'ioasid-4712=secret', 'xioasid-4711=secret'])
    assert.equal(judged({ host, cookie: wrong }), 403, wrong);
});

test('a request for another host is refused: a name can be made to lead here', () => {
  for (const wrong of ['evil.example', 'evil.example:4711', '127.0.0.1', '127.0.0.1:80', ''])
    assert.equal(judged({ host: wrong, cookie }), 403, wrong);
  for (const right of ['127.0.0.1:4711', '[::1]:4711', 'localhost:4711'])
    assert.equal(judged({ host: right, cookie }), 'serve', right);
});

test('a request of another origin is refused, with the token too', () => {
  for (const origin of ['http://evil.example', 'null', 'http://localhost:4711', 'https://127.0.0.1:4711'])
    assert.equal(judged({ host, cookie, origin }, '/?token=secret'), 403, origin);
  assert.equal(judged({ host, cookie, origin: `http://${host}` }), 'serve');
  assert.equal(judged({ host, cookie, 'sec-fetch-site': 'same-site' }), 403);
  assert.equal(judged({ host, cookie, 'sec-fetch-site': 'same-origin' }), 'serve');
});

test('nothing can be changed: there is only GET', () => {
  for (const method of ['POST', 'PUT', 'HEAD', 'OPTIONS'])
    assert.equal(judged({ host, cookie }, '/', method), 405);
  assert.equal(judged({ host, cookie }, '//evil.example:x/'), 400);
});
