/**
 * `ioasid ls`: what the servers of this machine hold, now.
 */
import { setTimeout } from 'node:timers/promises';
import color from 'picocolors';
import { doingOf } from '../linux/proc.js';
import type { ContextSnapshot, DeviceSnapshot, MachineSnapshot, PasidSnapshot } from '../machine/snapshot.js';
import { askAll, type ServerName, type ServerState } from './control-socket.js';
import { complain, print, standardOutput } from './messages.js';
import { Screen } from './screen.js';

const hexadecimal = (value: number) => `0x${value.toString(16)}`;
const rights = (access: number) => `${access & 1 ? 'r' : '-'}${access & 2 ? 'w' : '-'}`;
const count = (number: number, noun: string) => `${number} ${noun}${number === 1 ? '' : 's'}`;

function pasidLines({ pasid, kind, of, users, mappings, more }: PasidSnapshot): string[] {
  const lines = mappings.map(({ iova, length, access, memory, offset }) => {
    const range = `${hexadecimal(iova)}-${hexadecimal(iova + length - 1)}`;
    return `      ${range}  ${rights(access)}  ${memory}+${hexadecimal(offset)}`;
  });
  if (more > 0) lines.push(`      and ${count(more, 'more mapping')}`);
  const what = of === undefined ? '' : `  ${kind === 'nested' ? 'nested over ' : ''}${of}`;
  return [
    `    PASID ${color.bold(String(pasid))}${what}  authorized for ${count(users, 'device')}`,
    ...lines,
  ];
}

function contextLines({ id, pid, pasids, more }: ContextSnapshot): string[] {
  const lines = pasids.flatMap(pasidLines);
  if (more > 0) lines.push(`    and ${count(more, 'more PASID')}`);
  return [`  ${color.bold(`context ${id}`)}  opened by process ${pid}`, ...lines];
}

/** A device of many files is open by nobody, and has an authorization for each. */
function stateOf({ pid, authorizations, more, busy }: DeviceSnapshot): string {
  const files = authorizations.length + more;
  const working = busy ? ', working' : '';
  if (pid !== undefined) return `open in process ${pid}${working}`;
  return files === 0 ? 'not open' : `open in ${count(files, 'file')}${working}`;
}

function deviceLines(device: DeviceSnapshot): string[] {
  const { name, spec, rid, mdev, asids, authorizations, more, notes, refused } = device;
  const state = stateOf(device);
  const lines = authorizations.map(({ pasid, vpasid, context }) => {
    const alias = asids ? ` as ASID ${vpasid}` : vpasid === pasid ? '' : ` as ${vpasid}`;
    const others = asids ? 'by IOTLB messages' : 'by an iommufd';
    const right = context === undefined ? others : `of context ${context}`;
    return `    may use PASID ${pasid}${alias} ${right}`;
  });
  if (more > 0) lines.push(`    and ${count(more, 'more PASID')}`);
  for (const { time, sentence } of notes)
    lines.push(`    ${color.yellow('note')} ${new Date(time).toISOString()}  ${sentence}`);
  if (refused) lines.push(`    ${color.yellow('refused')} ${refused.error}: ${refused.reason}`);
  return [`  ${color.bold(name)}  ${spec}  ${rid}${mdev ? ' (mdev)' : ''}  ${state}`, ...lines];
}

function serverLines({ pid, uid, state }: ServerState): string[] {
  const { pasids, contexts, more, devices, mappings, faults } = state as MachineSnapshot;
  const sums = [
    count(contexts.length + more, 'context'),
    count(pasids.used, 'PASID'),
    count(mappings, 'mapping'),
    count(devices.length, 'device'),
    count(faults.total, 'fault'),
  ];
  return [
    `${color.bold(`server ${pid}`)} of user ${uid}: ${sums.join(', ')}`,
    ...devices.flatMap(deviceLines),
    ...faults.recent.map(({ time, rid, pasid, iova, write, reason }) => {
      const access = `${write ? 'write' : 'read'} at ${hexadecimal(iova)}`;
      const when = new Date(time).toISOString();
      return `  ${color.red('fault')} ${when}  ${rid} PASID ${pasid} ${access}: ${reason}`;
    }),
    ...contexts.flatMap(contextLines),
  ];
}

/**
 * The lines about one server. What another user's server says is not trusted: it may have any shape, and
 * control the terminal.
 */
function linesOf(server: ServerState): string[] {
  try {
    return serverLines({ ...server, state: withoutControls(server.state) });
  } catch {
    return [
      `${color.bold(`server ${server.pid}`)} of user ${server.uid} ` +
        'does not speak as this version of ioasid does',
    ];
  }
}

function withoutControls(state: unknown): unknown {
  return JSON.parse(JSON.stringify(state), (_key, value: unknown) =>
    typeof value === 'string' ? value.replace(/\p{C}/gu, '?') : value,
  );
}

/** What the options of `ls` say. */
export interface LsArguments {
  readonly json?: boolean;
  readonly watch?: boolean;
}

const INTERVAL_MS = 1000;
const nobody = 'no ioasid server is running for this user; start one with `ioasid run` or `ioasid serve`';

/** Prints the state of all servers that answer this user, once or every second. */
export async function ls({ json = false, watch = false }: LsArguments): Promise<void> {
  if (watch) return watched(json);
  const servers = await askAll(complainOfLate);
  print(json ? jsonOf(servers, 2) : textOf(servers));
}

/** Who reads slowly is told less often: nothing is kept for him. */
async function watched(json: boolean): Promise<never> {
  const stdout = standardOutput();
  const screen = stdout.isTTY && !json ? new Screen(stdout, 'all of them by `ioasid ls`') : undefined;
  for (;;) {
    const servers = await askAll(
      screen === undefined ? complainOfLate : (late) => screen.draw(late.map(lateLine)),
    );
    if (screen !== undefined) screen.draw(allLines(servers));
    else if (!stdout.writableNeedDrain) print(json ? jsonOf(servers, 0) : `\n${textOf(servers)}`);
    await setTimeout(INTERVAL_MS);
  }
}

function complainOfLate(servers: readonly ServerName[]): void {
  for (const server of servers) complain(lateLine(server));
}

function lateLine({ pid, uid }: ServerName): string {
  return (
    `server ${pid} of user ${uid} has not answered for a second, ` +
    `${whyLate(pid)}; after ten it is left out of the list`
  );
}

/** A server that is stopped says nothing; one that hangs says so itself. */
function whyLate(pid: number): string {
  const state = doingOf(pid);
  if (state === 'T') return `for it is stopped (kill -CONT ${pid} lets it go on)`;
  return state === 't' ? 'for who traces it has stopped it' : 'for it is busy, or hangs';
}

function allLines(servers: readonly ServerState[]): string[] {
  return servers.length === 0 ? [nobody] : servers.flatMap(linesOf);
}

function textOf(servers: readonly ServerState[]): string {
  return `${allLines(servers).join('\n')}\n`;
}

function jsonOf(servers: readonly ServerState[], indent: number): string {
  const list = servers.map(({ uid, pid, state }) => ({ uid, pid, ...(state as MachineSnapshot) }));
  return `${JSON.stringify(list, null, indent)}\n`;
}
