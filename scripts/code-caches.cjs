/**
 * Keeps what V8 has compiled of the parts of the bundle (scripts/load-parts.cjs) beside them, for the Node
 * that runs this: first of parts that have just been loaded, and then, where `ioasid run` can work, of those
 * of a run, at its end. What V8 has compiled by then is what a start needs.
 *
 * Without arguments it does both. Loaded by the server of that run, it waits for the command's end.
 */
'use strict';
const { spawnSync } = require('node:child_process');
const { readdirSync, renameSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const { cacheOf, part, scripts } = require('../lib/parts/load.cjs');

/** More than any run takes that does nothing. */
const MOST_MS = 30_000;

function keep() {
  for (const [name, script] of scripts) {
    const file = cacheOf(name);
    writeFileSync(`${file}.new`, script.createCachedData());
    renameSync(`${file}.new`, file);
  }
}

if (require.main !== module) {
  // The command's end is the first that the server hears of a child.
  process.once('SIGCHLD', keep);
} else if (process.platform === 'linux') {
  const files = readdirSync(join(__dirname, '../lib/parts'));
  for (const file of files) if (file.endsWith('.js')) part(file.slice(0, -'.js'.length));
  keep();
  const program = join(__dirname, '../bin/ioasid');
  const argv = ['--require', __filename, program, 'run', '--', 'true'];
  spawnSync(process.execPath, argv, { stdio: 'ignore', timeout: MOST_MS, killSignal: 'SIGKILL' });
}
