/**
 * `ioasid ls`: what the servers of this machine hold, now.
 */
import color from 'picocolors';
import type { ContextSnapshot, DeviceSnapshot, MachineSnapshot, PasidSnapshot } from '../machine/snapshot.js';
import { askAll, type ServerState } from './control-socket.js';

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
  const { name, spec, rid, mdev, asids, authorizations, more, notes } = device;
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

/** Prints the state of all servers that answer this user. */
export async function ls({ json }: { readonly json?: boolean }): Promise<void> {
  const servers = await askAll();
  if (json) {
    const list = servers.map(({ uid, pid, state }) => ({ uid, pid, ...(state as MachineSnapshot) }));
    process.stdout.write(`${JSON.stringify(list, null, 2)}\n`);
  } else if (servers.length === 0) {
    process.stdout.write(
      'no ioasid server is running for this user; start one with `ioasid run` or `ioasid serve`\n',
    );
  } else {
    process.stdout.write(`${servers.flatMap(linesOf).join('\n')}\n`);
  }
}
