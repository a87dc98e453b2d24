import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { LIVE_KINDS } from '../../src/packet-io/index.ts';
import { AgentProgram } from './support/agent-process.ts';

/** Then nothing is missing when the packages are. */
function hasNodeFfi(): boolean {
  try {
    createRequire(import.meta.url)('node:ffi');
    return true;
  } catch {
    return false;
  }
}

test('every live back end is listed under its own name and says in one line what it is', () => {
  expect(Object.keys(LIVE_KINDS)).toEqual(['packet-ring', 'packet-mmsg', 'pcap', 'xdp', 'macvtap']);
  for (const [name, kind] of Object.entries(LIVE_KINDS)) {
    expect(kind.name).toBe(name);
    expect(kind.summary).toMatch(/^[^\n]{10,100}$/);
  }
});

test.skipIf(hasNodeFfi())(
  'without the compiled packages everything loads, and each back end says how to get them',
  () => {
    const program = new AgentProgram();
    const elsewhere = mkdtempSync(join(tmpdir(), 'packet-io-'));
    try {
      // No folder above this one has packages.
      cpSync(program.folder, elsewhere, { recursive: true });
      writeFileSync(join(elsewhere, 'package.json'), '{"type":"module"}');
      const script = `
      const { LIVE_KINDS } = await import('${elsewhere}/src/packet-io/index.js');
      const { pingOnce } = await import('${elsewhere}/src/native/icmp-socket.js');
      const said = {};
      for (const kind of Object.values(LIVE_KINDS)) {
        said[kind.name] = [await kind.unavailable(), await kind.open().catch((error) => error.name + ': ' + error.message)];
      }
      said.ping = (await pingOnce({ address: '127.0.0.1', timeoutMs: 10 })).reason;
      console.log(JSON.stringify(said));`;
      const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
      const said = JSON.parse(output);
      const koffi =
        'the package koffi is not installed; add it with "npm install koffi"; or use Node 26, which needs no package';
      for (const name of ['packet-ring', 'packet-mmsg', 'xdp']) {
        expect(said[name]).toEqual([koffi, `PacketIoError: ${name}: ${koffi}`]);
      }
      expect(said['pcap'][0]).toMatch(
        /^the package cap is not installed or not built .*libpcap-dev.*"npm install cap"$/,
      );
      expect(said['pcap'][1]).toMatch(/^PacketIoError: pcap: the package cap is not installed/);
      expect(said.ping).toBe(koffi);
    } finally {
      rmSync(elsewhere, { recursive: true, force: true });
      program.remove();
    }
  },
  60_000,
);
