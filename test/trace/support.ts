/** Tables and captures for the tests of this room. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import type { DesiredBalancer } from '../../src/control/change-plan.ts';
import type { DestinationSpec } from '../../src/model/destination.ts';
import type { ForwardingMethod } from '../../src/model/forwarding.ts';
import { type ReplayOptions, type ReplayReport, replay } from '../../src/trace/replay.ts';
import { readCapture } from '../support/captures.ts';
import { WEB_SERVERS, WEB_VIP } from '../support/web-capture.ts';

export function server(address: string, method: ForwardingMethod = 'masquerade'): DestinationSpec {
  const tunnel = { type: 'ipip', port: 0, checksum: 'none' } as const;
  return { address, port: 80, method, weight: 1, upperThreshold: 0, lowerThreshold: 0, tunnel };
}

/** `rr` over the web servers of the captures. */
export function webTable(method: ForwardingMethod = 'masquerade', vip: string = WEB_VIP): DesiredBalancer {
  return {
    services: [
      {
        spec: {
          key: { protocol: 'tcp', address: vip, port: 80 },
          scheduler: 'rr',
          schedulerFlags: [],
          persistenceTimeoutSeconds: null,
          netmask: vip.includes(':') ? '128' : '255.255.255.255',
          persistenceEngine: null,
          onePacket: false,
        },
        destinations: WEB_SERVERS.map((address) => server(address, method)),
        checked: false,
        fallback: null,
      },
    ],
    timeouts: {},
    settings: {},
    markRules: [],
    syncDaemons: [],
  };
}

/** A folder for each test, and what is played in it. */
export function workbench() {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'uipvs-trace-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const save = (name: string, ...pieces: Uint8Array[]): string => {
    const path = join(folder, name);
    writeFileSync(path, Buffer.concat(pieces));
    return path;
  };
  const play = async (input: string, more: Partial<ReplayOptions> = {}): Promise<Played> => {
    const pieces: Uint8Array[] = [];
    const lines: string[] = [];
    const report = await replay({
      input,
      desired: webTable(),
      output: { write: (bytes) => void pieces.push(bytes), settle: () => {}, flush: () => {}, close: () => {} },
      format: 'pcapng',
      sourceNat: 'none',
      seed: 1,
      explain: ({ place, line }) => lines.push(`${place} ${line}`),
      ...more,
    });
    const file = Buffer.concat(pieces);
    return { report, lines, file, ...(file.length === 0 ? { interfaces: [], packets: [] } : readCapture(file)) };
  };
  return { folder: () => folder, save, play };
}

export interface Played extends ReturnType<typeof readCapture> {
  readonly report: ReplayReport;
  readonly lines: string[];
  readonly file: Buffer;
}
