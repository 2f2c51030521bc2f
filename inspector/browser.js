/**
 * What a person does with the inspector, in a real browser, on a `run` with two programs.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const root = fileURLToPath(new URL('../', import.meta.url));

/** Text that is markup, turns the direction of what follows, and moves a terminal's cursor. */
const HOSTILE = '<i>\u202e\u001b[31m';
const folder = mkdtempSync(join(tmpdir(), 'ioasid-inspector-'));
/** A model whose file is called so, and which says it. */
const model = join(folder, `${HOSTILE}.mjs`);
writeFileSync(
  model,
  `export default (host) => ({
    pci: { vendorId: 1, deviceId: 2, classCode: 0, bars: [{ index: 0, size: 4096 }] },
    reset: () => host.note(${JSON.stringify(HOSTILE)}),
    readBar() {},
    writeBar() {},
  });`,
);
/**
 * Two programs with an open /dev/ioasid; one does a DMA, and when it is told to it revokes, and a third one
 * comes, with a name of its own choice, which a refusal repeats.
 */
const programs = `
import ctypes, os, struct, sys, time, fcntl
def beside(act):
    parent = os.getpid()
    if os.fork() == 0:
        act(os.open("/dev/ioasid", os.O_RDWR))
        while os.getppid() == parent: time.sleep(0.1)
        os._exit(0)
def alloc(fd):
    data = bytearray(struct.pack("<6I", 24, 0, 0, 0, 0, 0))
    fcntl.ioctl(fd, 3 << 30 | 24 << 16 | ord(";") << 8 | 0xC1, data)
    return struct.unpack("<6I", data)[4]
def refused(fd):
    data = bytearray(struct.pack("<4I3Q", 40, 3, alloc(fd), 0, 4096, 4096, 0))
    try: fcntl.ioctl(fd, 3 << 30 | 40 << 16 | ord(";") << 8 | 0xC3, data)
    except OSError: pass
beside(lambda fd: [alloc(fd) for n in range(int(os.environ["PASIDS"]))])
exec(open("examples/fill.py").read())
os.close(os.open("/dev/vfio/devices/vfio1", os.O_RDWR))
sys.stdin.readline()
call(dsa, 0xCB, "3I", 0, pasid, 0)
ctypes.CDLL(None).prctl(15, os.environ["HOSTILE"].encode(), 0, 0, 0)
beside(refused)
sys.stdin.read()
`;

const run = [
  'bin/ioasid',
  'run',
  '--inspect',
  '-d',
  'dsa,ready=1',
  '-d',
  model,
  '--',
  'python3',
  '-c',
  programs,
];
const server = spawn(process.execPath, run, {
  cwd: root,
  env: { ...process.env, PASIDS: '10000', HOSTILE },
  stdio: ['pipe', 'inherit', 'pipe'],
});

/** Where `inspector` says that its page is. */
function address(inspector) {
  return new Promise((resolve) => {
    let said = '';
    inspector.stderr.on('data', (part) => {
      said += part;
      const found = /http:\S+\n/.exec(said);
      if (found) resolve(found[0].trim());
    });
  });
}

const url = await address(server);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ['--no-sandbox', '--no-proxy-server'],
  env: { ...process.env, LD_LIBRARY_PATH: process.env.CHROMIUM_LIBRARIES },
});
after(async () => {
  await browser.close();
  server.kill();
  server.stderr.destroy();
  rmSync(folder, { recursive: true });
});
const page = await browser.newPage({ viewport: { width: 1280, height: 720 } });
const errors = [];
page.on('pageerror', (error) => errors.push(error.message));

/** In the page: texts that stand out from the ground by less than WCAG 2.2 asks for (4.5, §1.4.3). */
function pale() {
  const channels = (color) => /rgba?\(([^)]+)\)/.exec(color)[1].split(',').map(Number);
  const light = (color) => {
    const [r, g, b] = channels(color).map((each) => {
      const part = each / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const grounds = (element) => {
    for (let each = element; each !== null; each = each.parentElement) {
      const { backgroundColor } = getComputedStyle(each);
      if (channels(backgroundColor)[3] !== 0) return backgroundColor;
    }
    return 'rgb(255, 255, 255)';
  };
  const found = [];
  for (const element of document.querySelectorAll('h1, h2, h3, p, td, li, span, output, label, text')) {
    const style = getComputedStyle(element);
    const rect = element.parentElement.querySelector('rect');
    const [ink, ground] =
      element.tagName === 'text'
        ? [style.fill, getComputedStyle(rect).fill]
        : [style.color, grounds(element)];
    const [one, other] = [light(ink), light(ground)].sort((a, b) => b - a);
    if ((one + 0.05) / (other + 0.05) < 4.5) found.push(`${element.tagName} ${ink} on ${ground}`);
  }
  return [...new Set(found)];
}

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

test('open files stand below their program, with the numbers of their descriptors', async () => {
  await page.waitForFunction(() =>
    ['3 /dev/ioasid', '4 /dev/vfio/devices/vfio0'].every((title) =>
      [...document.querySelectorAll('g.file')].some(({ textContent }) => title.startsWith(textContent)),
    ),
  );
});

test('a refused access shows the chain of its checks', async () => {
  await page.click('[data-key="device vfio0"]');
  await page.fill('input[name=vpasid]', '999999');
  await page.click('aside form button');
  await page.waitForSelector('.checks .bad');
  assert.match(await page.textContent('.checks .bad'), /is not authorized for PASID 999999/);
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT });
});

test('in the dark all text can be read', async () => {
  await page.emulateMedia({ colorScheme: 'dark' });
  assert.deepEqual(await page.evaluate(pale), []);
  if (process.env.SCREENSHOT_DARK) await page.screenshot({ path: process.env.SCREENSHOT_DARK });
  await page.emulateMedia({ colorScheme: 'light' });
  assert.deepEqual(await page.evaluate(pale), []);
});

test('an authorization that is gone is no line, and scrubbing back shows it again', async () => {
  // What the others have done is old by then.
  await page.waitForFunction(
    () => /1000[012] address spaces/.test(document.querySelector('header').textContent),
    null,
    {
      timeout: 60_000,
    },
  );
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
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Performance.enable', { timeDomain: 'threadTicks' });
  /** Milliseconds of a processor that the page's thread has had. */
  const used = async () => {
    const { metrics } = await devtools.send('Performance.getMetrics');
    return 1000 * metrics.find(({ name }) => name === 'TaskDuration').value;
  };
  const began = await used();
  await page.fill('input[type=search]', 'pasid 777');
  await page.waitForFunction(() => document.querySelectorAll('g.space').length >= 11);
  console.log(`a search among 10,000 PASIDs: ${((await used()) - began).toFixed(0)} ms of a processor`);
  assert.deepEqual(errors, []);
});

test('names and notes are text: no markup, no controls, in their own direction', async () => {
  await page.keyboard.press('Escape');
  await page.waitForFunction(() => document.querySelector('.events').textContent.includes('(<i>??[31m)'));
  await page.click('[data-key="device vfio1"]');
  await page.waitForFunction(() =>
    ['.events', 'aside p'].every((place) =>
      document.querySelector(place).textContent.includes('<i>\\u{202e}\\x1b[31m'),
    ),
  );
  const found = await page.evaluate(() => [
    document.querySelectorAll('i').length,
    [0x202e, 0x1b].some((code) => document.documentElement.outerHTML.includes(String.fromCharCode(code))),
  ]);
  assert.deepEqual(found, [0, false]);
  assert.deepEqual(errors, []);
});

test('a recording is shown to its end, and scrubbing back shows what was', async () => {
  const file = join(folder, 'run.ioasid');
  const command = ['run', '--record', file, '--', 'python3', 'examples/fill.py'];
  assert.equal(spawnSync(process.execPath, ['bin/ioasid', ...command], { cwd: root }).status, 0);
  const inspector = spawn(process.execPath, ['bin/ioasid', 'inspect', file], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  try {
    await page.goto(await address(inspector));
    await page.waitForFunction(() => document.querySelector('#status').textContent === 'it has ended');
    await lines(0);
    await page.focus('input[type=range]');
    for (let back = 0; back < 50 && (await page.locator('path.access').count()) === 0; back++)
      await page.keyboard.press('ArrowLeft');
    await lines(1);
    await page.waitForSelector('g.file');
    assert.deepEqual(errors, []);
  } finally {
    inspector.kill();
  }
});
