/**
 * What a person does with the inspector, in a real browser, on a `run` with two programs.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const root = fileURLToPath(new URL('../', import.meta.url));

/** Two programs with an open /dev/ioasid; one does a DMA, and revokes when it is told to. */
const programs = `
import os, struct, sys, time, fcntl
parent = os.getpid()
if os.fork() == 0:
    other = os.open("/dev/ioasid", os.O_RDWR)
    for n in range(int(os.environ["PASIDS"])):
        alloc = bytearray(struct.pack("<6I", 24, 0, 0, 0, 0, 0))
        fcntl.ioctl(other, 3 << 30 | 24 << 16 | ord(";") << 8 | 0xC1, alloc)
    while os.getppid() == parent: time.sleep(0.1)
    os._exit(0)
exec(open("examples/fill.py").read())
sys.stdin.readline()
call(dsa, 0xCB, "3I", 0, pasid, 0)
sys.stdin.read()
`;

const run = [
  'bin/ioasid',
  'run',
  '--inspect',
  '-d',
  'dsa,ready=1',
  '-d',
  'edu',
  '--',
  'python3',
  '-c',
  programs,
];
const server = spawn(process.execPath, run, {
  cwd: root,
  env: { ...process.env, PASIDS: '10000' },
  stdio: ['pipe', 'inherit', 'pipe'],
});
const url = await new Promise((resolve) => {
  let said = '';
  server.stderr.on('data', (part) => {
    said += part;
    const found = /http:\S+\n/.exec(said);
    if (found) resolve(found[0].trim());
  });
});
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ['--no-sandbox', '--no-proxy-server'],
  env: { ...process.env, LD_LIBRARY_PATH: process.env.CHROMIUM_LIBRARIES },
});
after(async () => {
  await browser.close();
  server.kill();
  server.stderr.destroy();
});
const page = await browser.newPage({ viewport: { width: 1280, height: 720 } });
const errors = [];
page.on('pageerror', (error) => errors.push(error.message));

/** Waits until the picture has so many lines of access. */
const lines = (count) =>
  page.waitForFunction((wanted) => document.querySelectorAll('path.access').length === wanted, count);

test('the token goes from the URL into a cookie, and without it there is nothing', async () => {
  await page.goto(url);
  assert.equal(page.url(), `${new URL(url).origin}/`);
  const stranger = await (await browser.newContext()).newPage();
  const answer = await stranger.goto(new URL(url).origin);
  assert.equal(answer.status(), 403);
});

test('two processes are there, and what one is authorized for is a line', async () => {
  await lines(1);
  await page.waitForFunction(() => document.querySelectorAll('g.process').length === 2);
});

test('a refused access shows the chain of its checks', async () => {
  await page.click('[data-key="device vfio0"]');
  await page.fill('input[name=vpasid]', '999999');
  await page.click('aside form button');
  await page.waitForSelector('.checks .bad');
  assert.match(await page.textContent('.checks .bad'), /is not authorized for PASID 999999/);
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT });
});

test('an authorization that is gone is no line, and scrubbing back shows it again', async () => {
  server.stdin.write('\n');
  await lines(0);
  await page.focus('input[type=range]');
  for (let back = 0; back < 50 && (await page.locator('path.access').count()) === 0; back++)
    await page.keyboard.press('ArrowLeft');
  await lines(1);
  await page.keyboard.press('l');
  await lines(0);
});

test('10,000 PASIDs are grouped, and found by a search', async () => {
  await page.waitForFunction(
    () => /1000[01] address spaces/.test(document.querySelector('header').textContent),
    null,
    {
      timeout: 60_000,
    },
  );
  const began = performance.now();
  await page.fill('input[type=search]', 'pasid 777');
  await page.waitForFunction(() => document.querySelectorAll('g.space').length >= 11);
  console.log(`a search among 10,000 PASIDs: ${(performance.now() - began).toFixed(0)} ms`);
  assert.deepEqual(errors, []);
});
