/**
 * A machine behind a FUSE connection: what `run` and `serve` have in common. Its files are answered, its devices work, `ioasid ls` is
 * told about it, and with `verbose` every refusal and every DMA fault is a line on standard error as it happens.
 */
import { type CallRecord, FuseServer, type TreeEntry } from '../devfs/fuse-server.js';
import { errnoName } from '../linux/errno.js';
import { runLoop } from '../linux/event-loop.js';
import { Machine } from '../machine.js';
import { publish } from './control-socket.js';
import type { Connection } from './launch-plan.js';
import { complain } from './messages.js';

export interface ServiceOptions {
  /** Where its files are, as messages name them. */
  readonly root: string;
  readonly extra?: readonly TreeEntry[];
  readonly verbose?: boolean;
}

/** What the options of `run` and `serve` say of the machine. */
export interface MachineArguments {
  readonly device: readonly string[];
  readonly pasidQuota: number;
  readonly mappingQuota: number;
  readonly verbose?: boolean;
}

/** The machine that the options describe; with one `dsa` when they name no device. @throws Refusal which option is wrong. */
export function makeMachine({ device, pasidQuota, mappingQuota }: MachineArguments): Promise<Machine> {
  return Machine.create({ devices: device.length === 0 ? ['dsa'] : device, baseDirectory: process.cwd(), pasidQuota, mappingQuota });
}

/** Serves `machine` through the connection `fuse`. Resolves when the file system is gone. */
export function serveMachine(machine: Machine, { fuse, device }: Connection, { root, extra, verbose }: ServiceOptions): Promise<void> {
  const owner = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
  const server = new FuseServer(fuse, machine.nodes, { device, owner, extra: extra ?? [], ...(verbose ? { onCall: reporter(root) } : {}) });
  const work = verbose ? reportingFaults(machine) : () => machine.step();
  publish(() => machine.snapshot());
  return runLoop([{ fd: fuse, ready: (between) => server.serve(between) }], work);
}

/** Tells every refusal. */
function reporter(root: string): (record: CallRecord) => void {
  return ({ call, path, tid, argument, result, reason }) => {
    if (result >= 0) return;
    const what = call === 'ioctl' ? `ioctl 0x${(argument >>> 0).toString(16)}` : call;
    complain(`${what} on ${root}/${path} by thread ${tid}: ${errnoName(-result)}: ${reason ?? 'no reason given'}`);
  };
}

/** A slice of device work, after which the faults since the last one are told. */
function reportingFaults(machine: Machine): () => boolean {
  const { faults } = machine.iommu;
  let told = faults.total;
  return () => {
    const more = machine.step();
    if (faults.total === told) return more;
    for (const { rid, pasid, iova, write, reason } of faults.since(told)) {
      complain(`DMA fault: ${rid} PASID ${pasid} ${write ? 'write' : 'read'} at 0x${iova.toString(16)}: ${reason}`);
    }
    told = faults.total;
    return more;
  };
}
