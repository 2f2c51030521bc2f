/** The files of a machine, whose opens and calls are recorded while somebody looks (traced-file.ts). */
import type { DeviceNode } from '../file/device-node.js';
import type { Trace } from './trace.js';
import { openTraced } from './traced-file.js';

export function tracedNodes(trace: Trace, nodes: readonly DeviceNode[]): DeviceNode[] {
  return nodes.map((node) => ({ ...node, open: (caller) => openTraced(trace, node, caller) }));
}
