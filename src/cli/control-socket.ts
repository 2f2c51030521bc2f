/**
 * How `ioasid ls`, `trace` and `stop` find and ask the servers of this machine.
 *
 * Each server listens on an abstract unix socket `ioasid/UID/PID`, which the kernel lists in /proc/net/unix
 * and forgets with the server. Whoever connects is told the machine's state as one JSON object, if it is the
 * same user or root; at `ioasid-trace/UID/PID` what happens, as long as he stays; at `ioasid-inspect/UID/PID`
 * what he asks. Both sides ask the kernel who the other one is, because anybody may choose such a name.
 */
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { LoopSource } from '../linux/event-loop.js';
import { address, check, libc } from '../linux/ffi.js';
import { Listeners } from '../linux/listeners.js';
import { connectTo, listenAt, socketOf } from '../linux/local-socket.js';
import { Pace } from './pace.js';

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/**
 * sizeof(sockaddr_un.sun_path). Names are padded to it, because some versions of Node do so by themselves and
 * others do not.
 */
const nameLength = 108;
const prefix = 'ioasid/';
const tracePrefix = 'ioasid-trace/';
const inspectPrefix = 'ioasid-inspect/';
/**
 * A server that has not answered in full after so many milliseconds, or says more bytes than that, is left
 * out.
 */
const patience = 10_000;
const longestAnswer = 2 ** 29;
/** Who waits for an answer is told so after so many milliseconds. */
const LATE_MS = 1000;
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

function socketName({ uid, pid }: ServerName, kind = prefix): string {
  return `\0${kind}${uid}/${pid}`.padEnd(nameLength, '\0');
}

function ownUid(): number {
  return process.geteuid?.() ?? 0;
}

/** Who is at the other end of the socket `fd`. */
function peer(fd: number): ServerName {
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
function text(state: () => unknown): Buffer {
  try {
    return Buffer.from(JSON.stringify(state()));
  } catch {
    return Buffer.alloc(0);
  }
}

/**
 * Answers everyone who may ask with what `state` returns then: all who wait are told the same, when its pace
 * allows it. Does not keep the process alive.
 */
export function publish(state: () => unknown): void {
  const pace = new Pace();
  const waiting = new Set<Socket>();
  let timer: NodeJS.Timeout | undefined;
  const answer = () => {
    timer = undefined;
    pace.look(() => {
      const said = text(state);
      for (const socket of waiting) socket.end(said);
    });
    pace.rest();
    waiting.clear();
  };
  listen(prefix, (socket) => {
    const deadline = setTimeout(() => socket.destroy(), ASKER_MS);
    deadline.unref();
    waiting.add(socket);
    timer ??= setTimeout(answer, pace.wait);
    timer.unref();
    socket.on('close', () => {
      clearTimeout(deadline);
      waiting.delete(socket);
    });
  });
}

/** Hands everyone who may look at a trace to `look`. Does not keep the process alive. */
export function publishTrace(look: (socket: Socket) => void): void {
  listen(tracePrefix, (socket) => look(socket.unref()));
}

/** Hands everyone who may inspect to `look`. Does not keep the process alive. */
export function publishInspection(look: (socket: Socket) => void): void {
  listen(inspectPrefix, (socket) => look(socket.unref()));
}

let listeners: Listeners | undefined;

/** What an event loop watches that serves those who ask, of all that is published. */
export function askers(): LoopSource {
  listeners ??= new Listeners();
  return listeners;
}

/** Serves everyone who may ask, not too many of one user at a time. */
function listen(kind: string, serve: (socket: Socket) => void): void {
  const asking = new Map([ownUid(), 0].map((uid) => [uid, 0]));
  const take = (fd: number) => {
    const { uid } = peer(fd);
    const others = asking.get(uid) ?? MOST_ASKERS;
    if (others >= MOST_ASKERS) {
      libc().close(fd);
      return;
    }
    asking.set(uid, others + 1);
    const socket = socketOf(fd).on('error', () => undefined);
    socket.on('close', () => asking.set(uid, asking.get(uid)! - 1));
    serve(socket);
  };
  listeners ??= new Listeners();
  try {
    listeners.add(listenAt(socketName({ uid: ownUid(), pid: process.pid }, kind)), take);
  } catch {
    // Somebody else has the name: then nobody can ask.
  }
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
    const socket = reached(name);
    if (socket === undefined) {
      resolve(undefined);
      return;
    }
    const fail = () => {
      clearTimeout(deadline);
      socket.destroy();
      resolve(undefined);
    };
    const deadline = setTimeout(fail, patience);
    socket.on('error', fail);
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

/**
 * Connects to the trace of a server. @throws Error one sentence: it cannot be looked at, or is not who its
 * name says.
 */
export function attachTrace(name: ServerName): Promise<Socket> {
  return attach(name, tracePrefix);
}

/** Connects to what answers an inspector. @throws Error as `attachTrace`. */
export function attachInspection(name: ServerName): Promise<Socket> {
  return attach(name, inspectPrefix);
}

async function attach(name: ServerName, kind: string): Promise<Socket> {
  const socket = reached(name, kind);
  if (socket !== undefined) return socket;
  throw new Error(`server ${name.pid} of user ${name.uid} cannot be looked at by this user`);
}

/** A connection to a server; undefined when it is not there, or not who its name says. */
function reached(name: ServerName, kind = prefix): Socket | undefined {
  let fd: number;
  try {
    fd = connectTo(socketName(name, kind));
  } catch {
    return undefined;
  }
  const server = peer(fd);
  if (server.uid === name.uid && server.pid === name.pid) return socketOf(fd);
  libc().close(fd);
  return undefined;
}

/** Does a server have that name? */
export function isServing({ uid, pid }: ServerName): boolean {
  return serverNames().some((name) => name.uid === uid && name.pid === pid);
}

/**
 * The server that a user means: that of process `pid`, or the only one that there is. @throws Error one
 * sentence: there is none, or several.
 */
export function serverMeant(pid: number | undefined): ServerName {
  const all = serverNames().filter(({ uid }) => ownUid() === 0 || uid === ownUid());
  const found = all.filter((name) => pid === undefined || name.pid === pid);
  if (found.length === 1) return found[0]!;
  const [which, pids] = [pid === undefined ? '' : ` with process id ${pid}`, all.map((name) => name.pid)];
  throw new Error(
    found.length === 0
      ? `no ioasid server${which} is running for this user`
      : `several ioasid servers are running, so name one by its process id: ${pids.join(', ')}`,
  );
}

/**
 * The state of all servers that answer this user. `late` is told of those that take long, while they are
 * waited for.
 */
export async function askAll(late: (servers: readonly ServerName[]) => void): Promise<ServerState[]> {
  const waiting = new Set(serverNames().filter(({ uid }) => ownUid() === 0 || uid === ownUid()));
  const timer = setTimeout(() => late([...waiting]), LATE_MS);
  const answers = await Promise.all(
    [...waiting].map(async (name) => {
      const answer = await ask(name);
      waiting.delete(name);
      return answer;
    }),
  );
  clearTimeout(timer);
  return answers.filter((answer) => answer !== undefined);
}
