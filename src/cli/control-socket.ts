/**
 * How `ioasid ls` finds and asks the servers of this machine.
 *
 * Each server listens on an abstract unix socket `ioasid/UID/PID`, which the kernel lists in /proc/net/unix
 * and forgets with the server. Whoever connects is told the machine's state as one JSON object, if it is the
 * same user or root. Both sides ask the kernel who the other one is, because anybody may choose such a name.
 */
import { readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { address, check, libc } from '../linux/ffi.js';

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/**
 * sizeof(sockaddr_un.sun_path). Names are padded to it, because some versions of Node do so by themselves and
 * others do not.
 */
const nameLength = 108;
const prefix = 'ioasid/';
/**
 * A server that has not answered in full after so many milliseconds, or says more bytes than that, is left
 * out.
 */
const patience = 10_000;
const longestAnswer = 2 ** 29;
/**
 * Who asks is answered at once; so who has not taken the answer after so many milliseconds does not read, and
 * costs a descriptor for nothing.
 */
const ASKER_MS = 10_000;
/** Askers of one user at a time. More are turned away: they ask again. */
export const MOST_ASKERS = 16;

/** A server of this machine. */
export interface ServerName {
  readonly uid: number;
  readonly pid: number;
}

/** A server and what it said. */
export interface ServerState extends ServerName {
  readonly state: unknown;
}

function socketName({ uid, pid }: ServerName): string {
  return `\0${prefix}${uid}/${pid}`.padEnd(nameLength, '\0');
}

function ownUid(): number {
  return process.geteuid?.() ?? 0;
}

/** Who is at the other end of `socket`. undefined when it is gone already. */
function peer(socket: Socket): ServerName | undefined {
  const fd = (socket as unknown as { _handle?: { fd: number } })._handle?.fd;
  if (fd === undefined || fd < 0) return undefined;
  const credentials = Buffer.alloc(128);
  const length = Buffer.alloc(128);
  length.writeUInt32LE(12);
  check(
    libc().getsockopt(fd, SOL_SOCKET, SO_PEERCRED, address(credentials), address(length)),
    'the peer of a socket is unknown',
  );
  return { pid: credentials.readInt32LE(0), uid: credentials.readUInt32LE(4) };
}

/** The state as text; empty when it is too much for one string, which must not end the server. */
function text(state: () => unknown): string {
  try {
    return JSON.stringify(state());
  } catch {
    return '';
  }
}

/** Answers everyone who may ask with what `state` returns then. Does not keep the process alive. */
export function publish(state: () => unknown): void {
  const askers = new Map([ownUid(), 0].map((uid) => [uid, 0]));
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    const uid = peer(socket)?.uid ?? -1;
    const others = askers.get(uid) ?? MOST_ASKERS;
    if (others >= MOST_ASKERS) {
      socket.destroy();
      return;
    }
    askers.set(uid, others + 1);
    const deadline = setTimeout(() => socket.destroy(), ASKER_MS);
    deadline.unref();
    socket.on('close', () => {
      clearTimeout(deadline);
      askers.set(uid, askers.get(uid)! - 1);
    });
    socket.end(text(state));
  });
  server.on('error', () => undefined);
  server.listen(socketName({ uid: ownUid(), pid: process.pid }));
  server.unref();
}

/** The servers that say they run on this machine, in the order of their process ids. */
function serverNames(): ServerName[] {
  const pattern = new RegExp(`@${prefix}(\\d+)/(\\d+)@*$`, 'gm');
  const found = [...readFileSync('/proc/net/unix', 'latin1').matchAll(pattern)];
  const names = new Map(found.map(([, uid, pid]) => [Number(pid), { uid: Number(uid), pid: Number(pid) }]));
  return [...names.values()].sort((a, b) => a.pid - b.pid);
}

/**
 * Asks one server. undefined when it does not answer, or is not who its name says. Whoever listens there may
 * be anyone, and say anything.
 */
export function ask(name: ServerName): Promise<ServerState | undefined> {
  return new Promise((resolve) => {
    const parts: Buffer[] = [];
    let length = 0;
    const socket = connect(socketName(name));
    const fail = () => {
      clearTimeout(deadline);
      socket.destroy();
      resolve(undefined);
    };
    const deadline = setTimeout(fail, patience);
    socket.on('error', fail);
    socket.on('connect', () => {
      const server = peer(socket);
      if (server?.uid !== name.uid || server.pid !== name.pid) fail();
    });
    socket.on('data', (part) => {
      parts.push(part);
      length += part.length;
      if (length > longestAnswer) fail();
    });
    socket.on('end', () => {
      clearTimeout(deadline);
      resolve(parsed(name, Buffer.concat(parts)));
    });
  });
}

function parsed(name: ServerName, answer: Buffer): ServerState | undefined {
  try {
    return { ...name, state: JSON.parse(answer.toString()) as unknown };
  } catch {
    return undefined;
  }
}

/** The state of all servers that answer this user. */
export async function askAll(): Promise<ServerState[]> {
  const mine = serverNames().filter(({ uid }) => ownUid() === 0 || uid === ownUid());
  const answers = await Promise.all(mine.map(ask));
  return answers.filter((answer) => answer !== undefined);
}
