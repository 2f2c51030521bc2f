/**
 * `ioasid ls`: what the servers of this machine hold, now.
 */
import { setTimeout } from 'node:timers/promises';
import color from 'picocolors';
import type { ContextSnapshot, DeviceSnapshot, MachineSnapshot, PasidSnapshot } from '../machine/snapshot.js';
import { askAll, type ServerState } from './control-socket.js';
import { print } from './messages.js';

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
    ...contexts.flatMap(contextLines),
    ...faults.recent.map(({ time, rid, pasid, iova, write, reason }) => {
      const access = `${write ? 'write' : 'read'} at ${hexadecimal(iova)}`;
      const when = new Date(time).toISOString();
      return `  ${color.red('fault')} ${when}  ${rid} PASID ${pasid} ${access}: ${reason}`;
    }),
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
const CLEAR = '\u001b[H\u001b[2J\u001b[3J';
const nobody = 'no ioasid server is running for this user; start one with `ioasid run` or `ioasid serve`';

/** Prints the state of all servers that answer this user, once or every second. */
export async function ls({ json = false, watch = false }: LsArguments): Promise<void> {
  if (!watch) {
    print(textOf(await askAll(), json ? 2 : undefined));
    return;
  }
  const between = json ? '' : process.stdout.isTTY ? CLEAR : '\n';
  for (;;) {
    print(between + textOf(await askAll(), json ? 0 : undefined));
    await setTimeout(INTERVAL_MS);
  }
}

/** @param indent of JSON; absent: for people. */
function textOf(servers: readonly ServerState[], indent: number | undefined): string {
  if (indent !== undefined) {
    const list = servers.map(({ uid, pid, state }) => ({ uid, pid, ...(state as MachineSnapshot) }));
    return `${JSON.stringify(list, null, indent)}\n`;
  }
  return `${servers.length === 0 ? nobody : servers.flatMap(linesOf).join('\n')}\n`;
}
