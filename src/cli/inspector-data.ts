/**
 * What the thread of `--inspect` is given, and what it says.
 */
import type { ServerName } from './control-socket.js';

export interface InspectorData {
  readonly name: ServerName;
  readonly port: number;
  readonly token: string;
}
export type InspectorWords = { readonly port: number } | { readonly failure: string };
